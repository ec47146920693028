
/*
 * Copyright (C) apiscale authors
 */


/*
 * JSON values, by jansson, whose types stay in ngx_apiscale_json.c.  May be
 * used in any thread; memory is malloc()'s, and freed by
 * ngx_apiscale_json_free().  Values within a value belong to it.
 *
 * Depends on nginx core and jansson only.
 */


#ifndef NGX_APISCALE_JSON_H_INCLUDED_
#define NGX_APISCALE_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_APISCALE_JSON_REASON  128


typedef struct ngx_apiscale_json_s  ngx_apiscale_json_t;


/* what is wrong, in words that hold nothing of the text itself */

typedef struct {
    size_t  offset;                       /* of the byte where it was seen */
    u_char  reason[NGX_APISCALE_JSON_REASON];    /* null-terminated */
} ngx_apiscale_json_error_t;


ngx_apiscale_json_t *ngx_apiscale_json_parse(const u_char *data, size_t len,
    size_t *used, ngx_apiscale_json_error_t *error);
void ngx_apiscale_json_free(ngx_apiscale_json_t *value);

ngx_apiscale_json_t *ngx_apiscale_json_object(void);
ngx_int_t ngx_apiscale_json_add_name(ngx_apiscale_json_t *object,
    ngx_apiscale_json_t *name);

ngx_uint_t ngx_apiscale_json_is_object(ngx_apiscale_json_t *value);
ngx_uint_t ngx_apiscale_json_is_array(ngx_apiscale_json_t *value);
ngx_apiscale_json_t *ngx_apiscale_json_member(ngx_apiscale_json_t *object,
    const char *name);
size_t ngx_apiscale_json_count(ngx_apiscale_json_t *array);
ngx_apiscale_json_t *ngx_apiscale_json_item(ngx_apiscale_json_t *array,
    size_t i);
ngx_int_t ngx_apiscale_json_string(ngx_apiscale_json_t *value, ngx_str_t *s);


#endif /* NGX_APISCALE_JSON_H_INCLUDED_ */
