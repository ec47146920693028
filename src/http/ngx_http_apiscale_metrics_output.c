
/*
 * Copyright (C) apiscale authors
 */


/*
 * The section "locations" of the status page.
 */


#include "ngx_http_apiscale_metrics.h"


/*
 * A series that is shown, and what was counted of it.
 */

typedef struct {
    ngx_http_apiscale_metrics_series_t  *series;
    ngx_http_apiscale_metrics_counts_t   counts;
} ngx_http_apiscale_metrics_row_t;


/*
 * A family of counters, one of each series.
 */

typedef struct {
    ngx_str_t  name;
    ngx_str_t  help;
    size_t     offset;                    /* in the counts */
} ngx_http_apiscale_metrics_family_t;


static ngx_http_apiscale_metrics_row_t *ngx_http_apiscale_metrics_rows(
    ngx_http_request_t *r, ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_uint_t *n);
static uint64_t ngx_http_apiscale_metrics_total(
    ngx_http_apiscale_metrics_counts_t *counts);
static uint64_t ngx_http_apiscale_metrics_quantiles(
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *row, uint64_t *us);
static void ngx_http_apiscale_metrics_json_row(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *row);
static void ngx_http_apiscale_metrics_json_latency(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *row);
static void ngx_http_apiscale_metrics_requests(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n);
static void ngx_http_apiscale_metrics_counters(ngx_apiscale_text_t *t,
    const ngx_http_apiscale_metrics_family_t *family,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n);
static void ngx_http_apiscale_metrics_histograms(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n);
static void ngx_http_apiscale_metrics_gauges(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n);
static void ngx_http_apiscale_metrics_labels(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_row_t *row);


static const ngx_str_t  ngx_http_apiscale_metrics_classes[] = {
    ngx_string("other"),
    ngx_string("1xx"),
    ngx_string("2xx"),
    ngx_string("3xx"),
    ngx_string("4xx"),
    ngx_string("5xx")
};


#define NGX_HTTP_APISCALE_METRICS_QUANTILES  3

static const double
    ngx_http_apiscale_metrics_q[NGX_HTTP_APISCALE_METRICS_QUANTILES] =
{
    0.5, 0.95, 0.99
};

static const struct {
    ngx_str_t  member;
    ngx_str_t  label;
} ngx_http_apiscale_metrics_q_names[NGX_HTTP_APISCALE_METRICS_QUANTILES] = {
    { ngx_string("p50"), ngx_string("0.5") },
    { ngx_string("p95"), ngx_string("0.95") },
    { ngx_string("p99"), ngx_string("0.99") }
};


static const ngx_http_apiscale_metrics_family_t
    ngx_http_apiscale_metrics_families[] =
{
    { ngx_string("apiscale_http_requests_rejected_total"),
      ngx_string("Requests that apiscale itself rejected."),
      offsetof(ngx_http_apiscale_metrics_counts_t, rejected) },

    { ngx_string("apiscale_http_requests_aborted_total"),
      ngx_string("Requests whose response was not sent to its end."),
      offsetof(ngx_http_apiscale_metrics_counts_t, aborted) },

    { ngx_string("apiscale_http_request_bytes_total"),
      ngx_string("Bytes received from clients."),
      offsetof(ngx_http_apiscale_metrics_counts_t, received) },

    { ngx_string("apiscale_http_response_bytes_total"),
      ngx_string("Bytes sent to clients."),
      offsetof(ngx_http_apiscale_metrics_counts_t, sent) }
};


#define ngx_http_apiscale_metrics_str(t, s)                                   \
    ngx_apiscale_text_add(t, (s)->data, (s)->len)


/*
 * The array "locations".
 */

void
ngx_http_apiscale_metrics_json(ngx_http_request_t *r, ngx_apiscale_text_t *t)
{
    ngx_uint_t                              i, n;
    ngx_http_apiscale_metrics_row_t        *rows;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    mmcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_metrics_module);

    rows = ngx_http_apiscale_metrics_rows(r, mmcf, &n);
    if (rows == NULL) {
        t->failed = 1;
        return;
    }

    ngx_apiscale_text_literal(t, "[");

    for (i = 0; i < n; i++) {
        if (i) {
            ngx_apiscale_text_literal(t, ",");
        }

        ngx_http_apiscale_metrics_json_row(t, mmcf, &rows[i]);
    }

    ngx_apiscale_text_literal(t, "]");
}


/*
 * Counts, bytes and the histogram of each series since the zone was made.
 */

void
ngx_http_apiscale_metrics_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    ngx_uint_t                              i, n;
    ngx_http_apiscale_metrics_row_t        *rows;
    ngx_http_apiscale_metrics_counts_t      other;
    ngx_http_apiscale_metrics_series_t    **series;
    ngx_http_apiscale_metrics_main_conf_t  *mmcf;

    mmcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_metrics_module);

    if (mmcf->zone == NULL) {
        return;
    }

    rows = ngx_http_apiscale_metrics_rows(r, mmcf, &n);
    if (rows == NULL) {
        t->failed = 1;
        return;
    }

    if (n) {
        ngx_http_apiscale_metrics_requests(t, rows, n);

        for (i = 0;
             i < sizeof(ngx_http_apiscale_metrics_families)
                 / sizeof(ngx_http_apiscale_metrics_families[0]);
             i++)
        {
            ngx_http_apiscale_metrics_counters(t,
                             &ngx_http_apiscale_metrics_families[i], rows, n);
        }

        ngx_http_apiscale_metrics_histograms(t, rows, n);
        ngx_http_apiscale_metrics_gauges(t, mmcf, rows, n);
    }

    series = mmcf->series.elts;
    (void) ngx_http_apiscale_metrics_counts(mmcf, series[0], &other);

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_series_overflow_total Requests counted under "
        "\"other\" because their series had no place.\n"
        "# TYPE apiscale_series_overflow_total counter\n"
        "apiscale_series_overflow_total{dimension=\"location\"} ");
    ngx_apiscale_text_uint(t, ngx_http_apiscale_metrics_total(&other));
    ngx_apiscale_text_literal(t, "\n");
}


/*
 * The series that are shown: those that have a place, and "other" after them
 * when it stands for any.  NULL if memory is short.
 */

static ngx_http_apiscale_metrics_row_t *
ngx_http_apiscale_metrics_rows(ngx_http_request_t *r,
    ngx_http_apiscale_metrics_main_conf_t *mmcf, ngx_uint_t *n)
{
    ngx_uint_t                            i;
    ngx_http_apiscale_metrics_row_t      *rows, *row;
    ngx_http_apiscale_metrics_series_t  **series;

    *n = 0;

    rows = ngx_palloc(r->pool, mmcf->series.nelts
                               * sizeof(ngx_http_apiscale_metrics_row_t));

    if (rows == NULL || mmcf->zone == NULL) {
        return rows;
    }

    series = mmcf->series.elts;
    row = rows;

    for (i = 1; i < mmcf->series.nelts; i++) {

        if (series[i]->slot == series[0]->slot) {
            continue;
        }

        row->series = series[i];
        (void) ngx_http_apiscale_metrics_counts(mmcf, series[i],
                                                &row->counts);
        row++;
    }

    row->series = series[0];
    (void) ngx_http_apiscale_metrics_counts(mmcf, series[0], &row->counts);

    if (mmcf->overflow || ngx_http_apiscale_metrics_total(&row->counts)) {
        row++;
    }

    *n = row - rows;

    return rows;
}


static uint64_t
ngx_http_apiscale_metrics_total(ngx_http_apiscale_metrics_counts_t *counts)
{
    uint64_t    total;
    ngx_uint_t  i;

    total = 0;

    for (i = 0; i < NGX_HTTP_APISCALE_METRICS_CLASSES; i++) {
        total += counts->status[i];
    }

    return total;
}


/*
 * Returns the number of durations.  The middle of a bucket may lie above the
 * longest of them, which is known exactly.
 */

static uint64_t
ngx_http_apiscale_metrics_quantiles(
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *row, uint64_t *us)
{
    uint64_t    count, buckets[APISCALE_HIST_BUCKETS];
    ngx_uint_t  i;

    ngx_http_apiscale_metrics_buckets(mmcf, row->series, buckets);

    apiscale_hist_quantiles(buckets, ngx_http_apiscale_metrics_q,
                            NGX_HTTP_APISCALE_METRICS_QUANTILES, us, &count);

    if (row->counts.max_us) {
        for (i = 0; i < NGX_HTTP_APISCALE_METRICS_QUANTILES; i++) {
            us[i] = ngx_min(us[i], row->counts.max_us);
        }
    }

    return count;
}


static void
ngx_http_apiscale_metrics_json_row(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *row)
{
    ngx_uint_t                           i, k;
    ngx_http_apiscale_metrics_counts_t  *counts;

    counts = &row->counts;

    ngx_apiscale_text_literal(t, "{\"server\":");
    ngx_apiscale_text_json(t, &row->series->server);
    ngx_apiscale_text_literal(t, ",\"location\":");
    ngx_apiscale_text_json(t, &row->series->location);

    ngx_apiscale_text_literal(t, ",\"requests\":{\"total\":");
    ngx_apiscale_text_uint(t, ngx_http_apiscale_metrics_total(counts));

    for (i = 1; i <= NGX_HTTP_APISCALE_METRICS_CLASSES; i++) {

        /* "other" comes last */

        k = i % NGX_HTTP_APISCALE_METRICS_CLASSES;

        ngx_apiscale_text_literal(t, ",");
        ngx_apiscale_text_json(t, &ngx_http_apiscale_metrics_classes[k]);
        ngx_apiscale_text_literal(t, ":");
        ngx_apiscale_text_uint(t, counts->status[k]);
    }

    ngx_apiscale_text_literal(t, ",\"rejected\":");
    ngx_apiscale_text_uint(t, counts->rejected);
    ngx_apiscale_text_literal(t, ",\"aborted\":");
    ngx_apiscale_text_uint(t, counts->aborted);

    ngx_apiscale_text_literal(t, "},\"bytes\":{\"received\":");
    ngx_apiscale_text_uint(t, counts->received);
    ngx_apiscale_text_literal(t, ",\"sent\":");
    ngx_apiscale_text_uint(t, counts->sent);

    ngx_apiscale_text_literal(t, "},\"latency\":{\"start\":");
    ngx_http_apiscale_metrics_json_latency(t, mmcf, row);
    ngx_apiscale_text_literal(t, "}}");
}


static void
ngx_http_apiscale_metrics_json_latency(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *row)
{
    uint64_t    count, us[NGX_HTTP_APISCALE_METRICS_QUANTILES];
    ngx_uint_t  i;

    count = ngx_http_apiscale_metrics_quantiles(mmcf, row, us);

    ngx_apiscale_text_literal(t, "{\"count\":");
    ngx_apiscale_text_uint(t, count);

    for (i = 0; i < NGX_HTTP_APISCALE_METRICS_QUANTILES; i++) {
        ngx_apiscale_text_literal(t, ",");
        ngx_apiscale_text_json(t,
                               &ngx_http_apiscale_metrics_q_names[i].member);
        ngx_apiscale_text_literal(t, ":");

        if (count) {
            ngx_apiscale_text_seconds(t, us[i]);

        } else {
            ngx_apiscale_text_literal(t, "null");
        }
    }

    if (count == 0) {
        ngx_apiscale_text_literal(t, ",\"mean\":null,\"max\":null}");
        return;
    }

    ngx_apiscale_text_literal(t, ",\"mean\":");
    ngx_apiscale_text_seconds(t, row->counts.sum_us / count);
    ngx_apiscale_text_literal(t, ",\"max\":");
    ngx_apiscale_text_seconds(t, row->counts.max_us);
    ngx_apiscale_text_literal(t, "}");
}


static void
ngx_http_apiscale_metrics_requests(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n)
{
    ngx_uint_t  i, k;

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_http_requests_total Requests by class of status.\n"
        "# TYPE apiscale_http_requests_total counter\n");

    for (i = 0; i < n; i++) {
        for (k = 0; k < NGX_HTTP_APISCALE_METRICS_CLASSES; k++) {

            if (k == 0 && rows[i].counts.status[0] == 0) {
                continue;
            }

            ngx_apiscale_text_literal(t, "apiscale_http_requests_total");
            ngx_http_apiscale_metrics_labels(t, &rows[i]);
            ngx_apiscale_text_literal(t, ",code=");
            ngx_apiscale_text_label(t, &ngx_http_apiscale_metrics_classes[k]);
            ngx_apiscale_text_literal(t, "} ");
            ngx_apiscale_text_uint(t, rows[i].counts.status[k]);
            ngx_apiscale_text_literal(t, "\n");
        }
    }
}


static void
ngx_http_apiscale_metrics_counters(ngx_apiscale_text_t *t,
    const ngx_http_apiscale_metrics_family_t *family,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    ngx_apiscale_text_literal(t, "# HELP ");
    ngx_http_apiscale_metrics_str(t, &family->name);
    ngx_apiscale_text_literal(t, " ");
    ngx_http_apiscale_metrics_str(t, &family->help);
    ngx_apiscale_text_literal(t, "\n# TYPE ");
    ngx_http_apiscale_metrics_str(t, &family->name);
    ngx_apiscale_text_literal(t, " counter\n");

    for (i = 0; i < n; i++) {
        p = (u_char *) &rows[i].counts + family->offset;

        ngx_http_apiscale_metrics_str(t, &family->name);
        ngx_http_apiscale_metrics_labels(t, &rows[i]);
        ngx_apiscale_text_literal(t, "} ");
        ngx_apiscale_text_uint(t, *(uint64_t *) p);
        ngx_apiscale_text_literal(t, "\n");
    }
}


/*
 * From the exact counters at the bounds: those of the histogram do not align
 * with them.
 */

static void
ngx_http_apiscale_metrics_histograms(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n)
{
    uint64_t    count;
    ngx_uint_t  i, k;

#define NGX_HTTP_APISCALE_METRICS_DURATION                                    \
    "apiscale_http_request_duration_seconds"

    ngx_apiscale_text_literal(t,
        "# HELP " NGX_HTTP_APISCALE_METRICS_DURATION
        " Time from the request's header to the response's last byte.\n"
        "# TYPE " NGX_HTTP_APISCALE_METRICS_DURATION " histogram\n");

    for (i = 0; i < n; i++) {
        count = 0;

        for (k = 0; k < NGX_HTTP_APISCALE_METRICS_LE; k++) {
            count += rows[i].counts.le[k];

            ngx_apiscale_text_literal(t,
                                NGX_HTTP_APISCALE_METRICS_DURATION "_bucket");
            ngx_http_apiscale_metrics_labels(t, &rows[i]);
            ngx_apiscale_text_literal(t, ",le=\"");

            if (k < NGX_HTTP_APISCALE_METRICS_BOUNDS) {
                ngx_apiscale_text_seconds(t,
                                          ngx_http_apiscale_metrics_bounds[k]);

            } else {
                ngx_apiscale_text_literal(t, "+Inf");
            }

            ngx_apiscale_text_literal(t, "\"} ");
            ngx_apiscale_text_uint(t, count);
            ngx_apiscale_text_literal(t, "\n");
        }

        ngx_apiscale_text_literal(t,
                                  NGX_HTTP_APISCALE_METRICS_DURATION "_sum");
        ngx_http_apiscale_metrics_labels(t, &rows[i]);
        ngx_apiscale_text_literal(t, "} ");
        ngx_apiscale_text_seconds(t, rows[i].counts.sum_us);

        ngx_apiscale_text_literal(t,
                                "\n" NGX_HTTP_APISCALE_METRICS_DURATION
                                "_count");
        ngx_http_apiscale_metrics_labels(t, &rows[i]);
        ngx_apiscale_text_literal(t, "} ");
        ngx_apiscale_text_uint(t, count);
        ngx_apiscale_text_literal(t, "\n");
    }
}


/* a series without durations has no quantiles */

static void
ngx_http_apiscale_metrics_gauges(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_main_conf_t *mmcf,
    ngx_http_apiscale_metrics_row_t *rows, ngx_uint_t n)
{
    uint64_t    us[NGX_HTTP_APISCALE_METRICS_QUANTILES];
    ngx_uint_t  i, k;

#define NGX_HTTP_APISCALE_METRICS_QUANTILE                                    \
    "apiscale_http_request_duration_quantile_seconds"

    ngx_apiscale_text_literal(t,
        "# HELP " NGX_HTTP_APISCALE_METRICS_QUANTILE
        " Quantiles of the duration, within 1 %, since the zone was made.\n"
        "# TYPE " NGX_HTTP_APISCALE_METRICS_QUANTILE " gauge\n");

    for (i = 0; i < n; i++) {

        if (ngx_http_apiscale_metrics_quantiles(mmcf, &rows[i], us) == 0) {
            continue;
        }

        for (k = 0; k < NGX_HTTP_APISCALE_METRICS_QUANTILES; k++) {
            ngx_apiscale_text_literal(t, NGX_HTTP_APISCALE_METRICS_QUANTILE);
            ngx_http_apiscale_metrics_labels(t, &rows[i]);
            ngx_apiscale_text_literal(t, ",q=");
            ngx_apiscale_text_label(t,
                                 &ngx_http_apiscale_metrics_q_names[k].label);
            ngx_apiscale_text_literal(t, ",window=\"start\"} ");
            ngx_apiscale_text_seconds(t, us[k]);
            ngx_apiscale_text_literal(t, "\n");
        }
    }
}


/* the first two labels, without the closing brace */

static void
ngx_http_apiscale_metrics_labels(ngx_apiscale_text_t *t,
    ngx_http_apiscale_metrics_row_t *row)
{
    ngx_apiscale_text_literal(t, "{server=");
    ngx_apiscale_text_label(t, &row->series->server);
    ngx_apiscale_text_literal(t, ",location=");
    ngx_apiscale_text_label(t, &row->series->location);
}
