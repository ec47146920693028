
/*
 * Copyright (C) apiscale authors
 */


#include "ngx_apiscale_json.h"

#include <jansson.h>


#define ngx_apiscale_json_native(value)  ((json_t *) (void *) (value))
#define ngx_apiscale_json_opaque(value)                                       \
    ((ngx_apiscale_json_t *) (void *) (value))


/*
 * Parses the value at the begin of "data"; *used is set to the bytes up to
 * its end, what follows it is not looked at.  A name that an object has twice
 * is an error, as are bytes that are not UTF-8.  NULL with *error set.
 */

ngx_apiscale_json_t *
ngx_apiscale_json_parse(const u_char *data, size_t len, size_t *used,
    ngx_apiscale_json_error_t *error)
{
    char          *near;
    json_t        *value;
    json_error_t   err;

    value = json_loadb((const char *) data, len,
                       JSON_REJECT_DUPLICATES|JSON_DISABLE_EOF_CHECK
                       |JSON_DECODE_ANY, &err);

    if (value) {
        *used = err.position;
        return ngx_apiscale_json_opaque(value);
    }

    /* the text near an error may be a secret, or anything */

    near = strstr(err.text, " near ");

    if (near) {
        *near = '\0';
    }

    ngx_cpystrn(error->reason, (u_char *) err.text, NGX_APISCALE_JSON_REASON);

    /* what is read and wrong, or would have been read */

    error->offset = err.position;

    switch (json_error_code(&err)) {

    case json_error_invalid_utf8:
    case json_error_premature_end_of_input:
        break;

    default:
        if (error->offset) {
            error->offset--;
        }
    }

    return NULL;
}


/*
 * Frees a value that was parsed or made; NULL is allowed.
 */

void
ngx_apiscale_json_free(ngx_apiscale_json_t *value)
{
    json_decref(ngx_apiscale_json_native(value));
}


/*
 * An empty object, NULL if memory is short.
 */

ngx_apiscale_json_t *
ngx_apiscale_json_object(void)
{
    return ngx_apiscale_json_opaque(json_object());
}


/*
 * Adds a member without a value.  NGX_DECLINED if there is one of that name,
 * NGX_ERROR if memory is short.
 */

ngx_int_t
ngx_apiscale_json_add_name(ngx_apiscale_json_t *object,
    ngx_apiscale_json_t *name)
{
    json_t      *obj;
    const char  *key;

    obj = ngx_apiscale_json_native(object);
    key = json_string_value(ngx_apiscale_json_native(name));

    if (json_object_get(obj, key)) {
        return NGX_DECLINED;
    }

    return json_object_set_new(obj, key, json_true()) == 0 ? NGX_OK
                                                           : NGX_ERROR;
}


/*
 * Whether the value is an object.
 */

ngx_uint_t
ngx_apiscale_json_is_object(ngx_apiscale_json_t *value)
{
    return json_is_object(ngx_apiscale_json_native(value));
}


/*
 * Whether the value is an array.
 */

ngx_uint_t
ngx_apiscale_json_is_array(ngx_apiscale_json_t *value)
{
    return json_is_array(ngx_apiscale_json_native(value));
}


/*
 * The member of an object, NULL if it has none of that name.
 */

ngx_apiscale_json_t *
ngx_apiscale_json_member(ngx_apiscale_json_t *object, const char *name)
{
    return ngx_apiscale_json_opaque(
                     json_object_get(ngx_apiscale_json_native(object), name));
}


/*
 * The number of items of an array.
 */

size_t
ngx_apiscale_json_count(ngx_apiscale_json_t *array)
{
    return json_array_size(ngx_apiscale_json_native(array));
}


/*
 * An item of an array, NULL beyond its end.
 */

ngx_apiscale_json_t *
ngx_apiscale_json_item(ngx_apiscale_json_t *array, size_t i)
{
    return ngx_apiscale_json_opaque(
                          json_array_get(ngx_apiscale_json_native(array), i));
}


/*
 * The text of a string; NGX_DECLINED if the value is something else.
 */

ngx_int_t
ngx_apiscale_json_string(ngx_apiscale_json_t *value, ngx_str_t *s)
{
    json_t  *v;

    v = ngx_apiscale_json_native(value);

    if (!json_is_string(v)) {
        return NGX_DECLINED;
    }

    s->data = (u_char *) json_string_value(v);
    s->len = json_string_length(v);

    return NGX_OK;
}
