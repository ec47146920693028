
/*
 * Copyright (C) apiscale authors
 */


/*
 * What the status page is told of the limiter: how full its zones are, and
 * what its policies decided.
 */


#include "ngx_http_apiscale_limit.h"


/* sets that are looked at to estimate how full a zone is */
#define NGX_HTTP_APISCALE_LIMIT_SAMPLE     2048


static uint64_t ngx_http_apiscale_limit_decisions(
    ngx_http_apiscale_limit_policy_t *policy, ngx_uint_t decision);
static uint64_t ngx_http_apiscale_limit_live(
    ngx_http_apiscale_limit_zone_t *zone);
static ngx_http_apiscale_limit_zone_t **ngx_http_apiscale_limit_zones(
    ngx_http_request_t *r, ngx_uint_t *n);
static void ngx_http_apiscale_limit_json(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static void ngx_http_apiscale_limit_json_policy(ngx_apiscale_text_t *t,
    ngx_http_apiscale_limit_policy_t *policy);
static void ngx_http_apiscale_limit_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t);
static uint64_t ngx_http_apiscale_limit_used(ngx_shm_zone_t *shm_zone);


static const ngx_str_t  ngx_http_apiscale_limit_decision_names[] = {
    ngx_string("passed"),
    ngx_string("rejected"),
    ngx_string("rejected_dry_run"),
    ngx_string("delayed")
};


static const ngx_str_t  ngx_http_apiscale_limit_windows[] = {
    ngx_string("rolling"),
    ngx_string("fixed"),
    ngx_string("sliding")
};


static const ngx_http_apiscale_section_t  ngx_http_apiscale_limit_section = {
    ngx_string("limits"),
    ngx_http_apiscale_limit_json,
    ngx_http_apiscale_limit_prometheus
};


static uint64_t
ngx_http_apiscale_limit_decisions(ngx_http_apiscale_limit_policy_t *policy,
    ngx_uint_t decision)
{
    uint64_t    n;
    ngx_uint_t  i;

    n = 0;

    for (i = 0; i < NGX_HTTP_APISCALE_LIMIT_LANES; i++) {
        n += __atomic_load_n(&policy->slot->decisions[i][decision],
                             __ATOMIC_RELAXED);
    }

    return n;
}


static ngx_http_apiscale_limit_zone_t **
ngx_http_apiscale_limit_zones(ngx_http_request_t *r, ngx_uint_t *n)
{
    ngx_http_apiscale_limit_main_conf_t  *lmcf;

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_apiscale_limit_module);

    *n = lmcf->zones.nelts;

    return lmcf->zones.elts;
}


static void
ngx_http_apiscale_limit_json(ngx_http_request_t *r, ngx_apiscale_text_t *t)
{
    ngx_uint_t                          i, j, n;
    ngx_http_apiscale_limit_zone_t    **zones;
    ngx_http_apiscale_limit_policy_t  **policies;

    zones = ngx_http_apiscale_limit_zones(r, &n);

    ngx_apiscale_text_literal(t, "[");

    for (i = 0; i < n; i++) {

        ngx_apiscale_text_add(t, (u_char *) ",", i != 0);
        ngx_apiscale_text_literal(t, "{\"zone\":");
        ngx_apiscale_text_json(t, &zones[i]->name);
        ngx_apiscale_text_literal(t, ",\"capacity\":");
        ngx_apiscale_text_uint(t, (uint64_t) zones[i]->table.nsets
                                  * APISCALE_TABLE_WAYS);
        ngx_apiscale_text_literal(t, ",\"live\":");
        ngx_apiscale_text_uint(t, ngx_http_apiscale_limit_live(zones[i]));
        ngx_apiscale_text_literal(t, ",\"evicted_live\":");
        ngx_apiscale_text_uint(t, __atomic_load_n(zones[i]->table.evicted_live,
                                                  __ATOMIC_RELAXED));
        ngx_apiscale_text_literal(t, ",\"policies\":[");

        policies = zones[i]->policies.elts;

        for (j = 0; j < zones[i]->policies.nelts; j++) {
            ngx_apiscale_text_add(t, (u_char *) ",", j != 0);
            ngx_http_apiscale_limit_json_policy(t, policies[j]);
        }

        ngx_apiscale_text_literal(t, "]}");
    }

    ngx_apiscale_text_literal(t, "]");
}


static void
ngx_http_apiscale_limit_json_policy(ngx_apiscale_text_t *t,
    ngx_http_apiscale_limit_policy_t *policy)
{
    ngx_uint_t        i;
    const ngx_str_t  *name;

    ngx_apiscale_text_literal(t, "{\"policy\":");
    ngx_apiscale_text_json(t, &policy->name);

    if (policy->plan.len) {
        ngx_apiscale_text_literal(t, ",\"plan\":");
        ngx_apiscale_text_json(t, &policy->plan);
    }

    ngx_apiscale_text_literal(t, ",\"rate\":");
    ngx_apiscale_text_json(t, &policy->rate);
    ngx_apiscale_text_literal(t, ",\"window\":");
    ngx_apiscale_text_json(t,
                    &ngx_http_apiscale_limit_windows[policy->bucket.kind]);
    ngx_apiscale_text_literal(t, ",\"burst\":");
    ngx_apiscale_text_uint(t, policy->bucket.gcra.burst);

    for (i = 0; i < NGX_HTTP_APISCALE_DECISIONS; i++) {
        name = &ngx_http_apiscale_limit_decision_names[i];

        ngx_apiscale_text_literal(t, ",");
        ngx_apiscale_text_json(t, name);
        ngx_apiscale_text_literal(t, ":");
        ngx_apiscale_text_uint(t, ngx_http_apiscale_limit_decisions(policy,
                                                                    i));
    }

    ngx_apiscale_text_literal(t, "}");
}


static void
ngx_http_apiscale_limit_prometheus(ngx_http_request_t *r,
    ngx_apiscale_text_t *t)
{
    ngx_uint_t                          i, j, k, n;
    ngx_http_apiscale_limit_zone_t    **zones;
    ngx_http_apiscale_limit_policy_t  **policies;

    zones = ngx_http_apiscale_limit_zones(r, &n);

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_ratelimit_decisions_total "
        "Decisions of rate limit policies.\n"
        "# TYPE apiscale_ratelimit_decisions_total counter\n");

    for (i = 0; i < n; i++) {
        policies = zones[i]->policies.elts;

        for (j = 0; j < zones[i]->policies.nelts; j++) {
            for (k = 0; k < NGX_HTTP_APISCALE_DECISIONS; k++) {
                ngx_apiscale_text_literal(t,
                    "apiscale_ratelimit_decisions_total{zone=");
                ngx_apiscale_text_label(t, &zones[i]->name);
                ngx_apiscale_text_literal(t, ",policy=");
                ngx_apiscale_text_label(t, &policies[j]->name);

                if (policies[j]->plan.len) {
                    ngx_apiscale_text_literal(t, ",plan=");
                    ngx_apiscale_text_label(t, &policies[j]->plan);
                }

                ngx_apiscale_text_literal(t, ",result=");
                ngx_apiscale_text_label(t,
                    &ngx_http_apiscale_limit_decision_names[k]);
                ngx_apiscale_text_literal(t, "} ");
                ngx_apiscale_text_uint(t,
                    ngx_http_apiscale_limit_decisions(policies[j], k));
                ngx_apiscale_text_literal(t, "\n");
            }
        }
    }

    ngx_apiscale_text_literal(t,
        "# HELP apiscale_ratelimit_evicted_live_total "
        "Keys dropped from a full zone while they still owed requests.\n"
        "# TYPE apiscale_ratelimit_evicted_live_total counter\n");

    for (i = 0; i < n; i++) {
        ngx_apiscale_text_literal(t,
            "apiscale_ratelimit_evicted_live_total{zone=");
        ngx_apiscale_text_label(t, &zones[i]->name);
        ngx_apiscale_text_literal(t, "} ");
        ngx_apiscale_text_uint(t, __atomic_load_n(zones[i]->table.evicted_live,
                                                  __ATOMIC_RELAXED));
        ngx_apiscale_text_literal(t, "\n");
    }
}


static uint64_t
ngx_http_apiscale_limit_live(ngx_http_apiscale_limit_zone_t *zone)
{
    apiscale_clock_t  now;

    ngx_http_apiscale_limit_clock(&now, 1);

    return apiscale_table_live(&zone->table, &now,
                               NGX_HTTP_APISCALE_LIMIT_SAMPLE);
}


static uint64_t
ngx_http_apiscale_limit_used(ngx_shm_zone_t *shm_zone)
{
    return ngx_http_apiscale_limit_live(shm_zone->data)
           * sizeof(apiscale_entry_t);
}


/*
 * Registers the section "limits" and the zones that the configuration has.
 */

ngx_int_t
ngx_http_apiscale_limit_status_init(ngx_conf_t *cf,
    ngx_http_apiscale_limit_main_conf_t *lmcf)
{
    ngx_uint_t                        i;
    ngx_http_apiscale_limit_zone_t  **zones;

    zones = lmcf->zones.elts;

    for (i = 0; i < lmcf->zones.nelts; i++) {
        if (ngx_http_apiscale_add_zone(cf, zones[i]->shm_zone,
                                       ngx_http_apiscale_limit_used)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (lmcf->zones.nelts == 0) {
        return NGX_OK;
    }

    return ngx_http_apiscale_add_section(cf, &ngx_http_apiscale_limit_section);
}
