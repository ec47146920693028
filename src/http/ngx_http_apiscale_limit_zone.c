
/*
 * Copyright (C) apiscale authors
 */


/*
 * Zones of the limiter in shared memory: a header, a slot for each policy and
 * the table.  A reload keeps the block, also while old and new workers use it
 * with different rates; a zone that changes its size is copied.
 */


#include "ngx_http_apiscale_limit.h"


/* "apiscl" and the layout's version */
#define NGX_HTTP_APISCALE_LIMIT_MAGIC      0x6170697363006c03ULL

#define NGX_HTTP_APISCALE_LIMIT_MIN_SLOTS  16
#define NGX_HTTP_APISCALE_LIMIT_MAX_SLOTS  1024

/* a slot for so many bytes of a zone */
#define NGX_HTTP_APISCALE_LIMIT_PER_SLOT   16384

#define NGX_HTTP_APISCALE_LIMIT_MIN_PAGES  8


static char *ngx_http_apiscale_limit_zone_param(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *name, ssize_t *size);
static void ngx_http_apiscale_limit_zone_layout(
    ngx_http_apiscale_limit_zone_t *zone);
static ngx_int_t ngx_http_apiscale_limit_zone_new(ngx_shm_zone_t *shm_zone,
    ngx_http_apiscale_limit_zone_t *zone);
static void ngx_http_apiscale_limit_zone_copy(ngx_shm_zone_t *shm_zone,
    ngx_http_apiscale_limit_zone_t *zone,
    ngx_http_apiscale_limit_sh_t *from);
static ngx_http_apiscale_limit_slot_t *ngx_http_apiscale_limit_slot(
    ngx_http_apiscale_limit_zone_t *zone, ngx_http_apiscale_limit_zone_t *old,
    uint64_t id);
static ngx_uint_t ngx_http_apiscale_limit_slot_unused(
    ngx_http_apiscale_limit_zone_t *zone, uint64_t id);
static uint64_t ngx_http_apiscale_limit_policy_id(
    ngx_http_apiscale_limit_policy_t *policy);
static void ngx_http_apiscale_limit_generation(
    ngx_http_apiscale_limit_policy_t *policy);


/*
 * The directive "apiscale_limit_zone zone=NAME:SIZE".
 */

char *
ngx_http_apiscale_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_apiscale_limit_main_conf_t *lmcf = conf;

    ssize_t                           size;
    ngx_str_t                        *value, name;
    ngx_uint_t                        i;
    ngx_http_apiscale_limit_zone_t   *zone, **zp;

    value = cf->args->elts;

    size = 0;
    name.len = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (name.len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_apiscale_limit_zone_param(cf, &value[i], &name, &size)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_apiscale_limit_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->shm_zone = ngx_shared_memory_add(cf, &name, size,
                                           &ngx_http_apiscale_limit_module);
    if (zone->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_apiscale_limit_find_zone(lmcf, &name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate zone \"%V\"", &name);
        return NGX_CONF_ERROR;
    }

    if (ngx_array_init(&zone->policies, cf->pool, 4,
                       sizeof(ngx_http_apiscale_limit_policy_t *))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    zone->name = name;
    zone->shm_zone->init = ngx_http_apiscale_limit_zone_init;
    zone->shm_zone->data = zone;

    zp = ngx_array_push(&lmcf->zones);
    if (zp == NULL) {
        return NGX_CONF_ERROR;
    }

    *zp = zone;

    return NGX_CONF_OK;
}


static char *
ngx_http_apiscale_limit_zone_param(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *name, ssize_t *size)
{
    u_char     *p;
    ngx_str_t   s;

    name->data = value->data + sizeof("zone=") - 1;

    p = (u_char *) ngx_strchr(name->data, ':');

    if (p == NULL || p == name->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    name->len = p - name->data;

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    *size = ngx_parse_size(&s);

    if (*size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    if (*size < (ssize_t) (NGX_HTTP_APISCALE_LIMIT_MIN_PAGES * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * The zone of that name, or NULL.
 */

ngx_http_apiscale_limit_zone_t *
ngx_http_apiscale_limit_find_zone(ngx_http_apiscale_limit_main_conf_t *lmcf,
    ngx_str_t *name)
{
    ngx_uint_t                        i;
    ngx_http_apiscale_limit_zone_t  **zones;

    zones = lmcf->zones.elts;

    for (i = 0; i < lmcf->zones.nelts; i++) {
        if (zones[i]->name.len == name->len
            && ngx_strncmp(zones[i]->name.data, name->data, name->len) == 0)
        {
            return zones[i];
        }
    }

    return NULL;
}


/*
 * The init handler of a zone: opens or makes its block, and gives each policy
 * of the new configuration its slot, its rate generation and its hash.  Old
 * workers may be using the block meanwhile.
 */

ngx_int_t
ngx_http_apiscale_limit_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_apiscale_limit_zone_t *zone = shm_zone->data;
    ngx_http_apiscale_limit_zone_t *old = data;

    uint64_t                            id;
    ngx_uint_t                          i;
    apiscale_siphash_t                  salt;
    ngx_apiscale_shm_header_t          *header;
    ngx_http_apiscale_limit_policy_t   *policy, **policies;

    switch (ngx_apiscale_shm_open(shm_zone, NGX_HTTP_APISCALE_LIMIT_MAGIC,
                                  &header))
    {
    case NGX_APISCALE_SHM_KEPT:
        zone->sh = (ngx_http_apiscale_limit_sh_t *) header;
        ngx_http_apiscale_limit_zone_layout(zone);
        break;

    case NGX_APISCALE_SHM_NEW:
        zone->sh = (ngx_http_apiscale_limit_sh_t *) header;

        if (ngx_http_apiscale_limit_zone_new(shm_zone, zone) != NGX_OK) {
            return NGX_ERROR;
        }

        break;

    default:
        return NGX_ERROR;
    }

    if (zone->policies.nelts > zone->sh->nslots) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" is too small for %ui policies",
                      &zone->name, zone->policies.nelts);
        return NGX_ERROR;
    }

    apiscale_keyhash_init(&zone->hash, zone->sh->secret);

    policies = zone->policies.elts;

    for (i = 0; i < zone->policies.nelts; i++) {
        policy = policies[i];

        id = ngx_http_apiscale_limit_policy_id(policy);

        policy->slot = ngx_http_apiscale_limit_slot(zone, old, id);
        ngx_http_apiscale_limit_generation(policy);

        policy->bucket.table = &zone->table;
        policy->bucket.rates = policy->slot->rates;

        /*
         * Buckets of one key under several policies: each salt moves all of
         * a zone's hashes elsewhere.  It has a secret of its own, else it
         * would be the hash of a key that somebody may send.
         */

        apiscale_siphash_init(&salt, zone->sh->salt);
        apiscale_siphash_block(&salt, id);
        policy->salt = apiscale_siphash_final(&salt, NULL, 0);
    }

    return NGX_OK;
}


static void
ngx_http_apiscale_limit_zone_layout(ngx_http_apiscale_limit_zone_t *zone)
{
    ngx_http_apiscale_limit_sh_t  *sh;

    sh = zone->sh;

    zone->slots = (ngx_http_apiscale_limit_slot_t *)
                      ngx_align_ptr((u_char *) sh + sizeof(*sh), 64);

    zone->table.sets = (apiscale_set_t *) ngx_align_ptr(
                                              zone->slots + sh->nslots, 64);
    zone->table.nsets = (uint32_t) sh->nsets;
    zone->table.evicted_live = &sh->evicted_live;
}


/*
 * How many policies a zone has room for, by its size alone: known while the
 * configuration is read.
 */

ngx_uint_t
ngx_http_apiscale_limit_zone_slots(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t  nslots;

    nslots = shm_zone->shm.size / NGX_HTTP_APISCALE_LIMIT_PER_SLOT;
    nslots = ngx_max(nslots, NGX_HTTP_APISCALE_LIMIT_MIN_SLOTS);

    return ngx_min(nslots, NGX_HTTP_APISCALE_LIMIT_MAX_SLOTS);
}


static ngx_int_t
ngx_http_apiscale_limit_zone_new(ngx_shm_zone_t *shm_zone,
    ngx_http_apiscale_limit_zone_t *zone)
{
    u_char                        *end;
    ngx_http_apiscale_limit_sh_t  *sh, *from;

    sh = zone->sh;

    sh->nslots = ngx_http_apiscale_limit_zone_slots(shm_zone);

    ngx_http_apiscale_limit_zone_layout(zone);

    end = (u_char *) sh + sh->header.size;

    sh->nsets = (end - (u_char *) zone->table.sets) / sizeof(apiscale_set_t);
    sh->nsets = ngx_min(sh->nsets, NGX_MAX_INT32_VALUE);

    zone->table.nsets = (uint32_t) sh->nsets;

    from = (ngx_http_apiscale_limit_sh_t *)
               ngx_apiscale_shm_previous(shm_zone,
                                         NGX_HTTP_APISCALE_LIMIT_MAGIC);
    if (from) {
        ngx_http_apiscale_limit_zone_copy(shm_zone, zone, from);
        return NGX_OK;
    }

    if (ngx_apiscale_shm_random(sh->secret, sizeof(sh->secret)) != NGX_OK
        || ngx_apiscale_shm_random(sh->salt, sizeof(sh->salt)) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                      "getrandom() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Takes over the policies, counters and live keys of a zone of another size.
 * What old workers charge from now on stays in the old one.
 */

static void
ngx_http_apiscale_limit_zone_copy(ngx_shm_zone_t *shm_zone,
    ngx_http_apiscale_limit_zone_t *zone, ngx_http_apiscale_limit_sh_t *from)
{
    uint64_t                        lost;
    ngx_uint_t                      i, n, unused;
    apiscale_clock_t                now;
    ngx_http_apiscale_limit_zone_t  old;

    ngx_memzero(&old, sizeof(old));

    old.sh = from;
    ngx_http_apiscale_limit_zone_layout(&old);

    ngx_memcpy(zone->sh->secret, from->secret, sizeof(from->secret));
    ngx_memcpy(zone->sh->salt, from->salt, sizeof(from->salt));

    n = 0;

    /* those in use, then those that may come again, while there is room */

    for (unused = 0; unused < 2; unused++) {
        for (i = 0; i < from->nslots && n < zone->sh->nslots; i++) {

            if (old.slots[i].id
                && ngx_http_apiscale_limit_slot_unused(zone, old.slots[i].id)
                   == unused)
            {
                zone->slots[n++] = old.slots[i];
            }
        }
    }

    zone->sh->evicted_live = from->evicted_live;

    ngx_http_apiscale_limit_clock(&now, 1);

    lost = apiscale_table_copy(&zone->table, &old.table, &now);

    ngx_log_error(NGX_LOG_NOTICE, shm_zone->shm.log, 0,
                  "zone \"%V\" changed its size: its keys were kept, "
                  "but for %uL that did not fit", &zone->name, lost);
}


/*
 * The slot of a policy: its own, a free one, one that neither this nor the
 * running configuration ("old", may be NULL) has a policy for, or in the end
 * one that only the running one has.  There are as many slots as policies.
 */

static ngx_http_apiscale_limit_slot_t *
ngx_http_apiscale_limit_slot(ngx_http_apiscale_limit_zone_t *zone,
    ngx_http_apiscale_limit_zone_t *old, uint64_t id)
{
    ngx_uint_t                       i, rank, best;
    ngx_http_apiscale_limit_slot_t  *slot, *chosen;

    chosen = NULL;
    best = 3;

    for (i = 0; i < zone->sh->nslots; i++) {
        slot = &zone->slots[i];

        if (slot->id == id) {
            return slot;
        }

        if (slot->id == 0) {
            rank = 0;

        } else if (!ngx_http_apiscale_limit_slot_unused(zone, slot->id)) {
            continue;

        } else if (old == NULL
                   || ngx_http_apiscale_limit_slot_unused(old, slot->id))
        {
            rank = 1;

        } else {
            rank = 2;
        }

        if (rank < best) {
            best = rank;
            chosen = slot;
        }
    }

    if (best == 2) {
        ngx_log_error(NGX_LOG_WARN, zone->shm_zone->shm.log, 0,
                      "zone \"%V\" has no room for policies of two "
                      "configurations, counts and rates of one that was "
                      "removed are lost", &zone->name);
    }

    ngx_memzero(chosen, sizeof(ngx_http_apiscale_limit_slot_t));
    chosen->id = id;

    return chosen;
}


static ngx_uint_t
ngx_http_apiscale_limit_slot_unused(ngx_http_apiscale_limit_zone_t *zone,
    uint64_t id)
{
    ngx_uint_t                          i;
    ngx_http_apiscale_limit_policy_t  **policies;

    policies = zone->policies.elts;

    for (i = 0; i < zone->policies.nelts; i++) {
        if (ngx_http_apiscale_limit_policy_id(policies[i]) == id) {
            return 0;
        }
    }

    return 1;
}


/*
 * A policy's identity within its zone, equal in every configuration.  Names
 * come from the administrator: the hash needs no secret.
 */

static uint64_t
ngx_http_apiscale_limit_policy_id(ngx_http_apiscale_limit_policy_t *policy)
{
    uint64_t            id;
    apiscale_siphash_t  hash;

    static const uint64_t  key[2] = { 0, 0 };

    apiscale_siphash_init(&hash, key);

    if (policy->plan.len) {
        apiscale_siphash_block(&hash, apiscale_siphash_final(&hash,
                                                          policy->plan.data,
                                                          policy->plan.len));
    }

    id = apiscale_siphash_final(&hash, policy->name.data, policy->name.len);

    return id ? id : 1;
}


/*
 * The generation under which this configuration writes: the one that has its
 * rate, else the next.  After 16 different rates the oldest is forgotten; a
 * key that was not seen since then is rescaled from a wrong rate.
 */

static void
ngx_http_apiscale_limit_generation(ngx_http_apiscale_limit_policy_t *policy)
{
    uint64_t                         generation, rate;
    ngx_uint_t                       i;
    ngx_http_apiscale_limit_slot_t  *slot;

    slot = policy->slot;

    rate = APISCALE_BUCKET_RATE(policy->bucket.gcra.interval,
                                policy->bucket.kind);

    for (i = 0; i < NGX_HTTP_APISCALE_LIMIT_GENERATIONS; i++) {
        if (slot->rates[i] == rate) {
            slot->generation = i;
            policy->bucket.generation = i;
            return;
        }
    }

    generation = slot->generation;

    if (slot->rates[generation]) {
        generation = (generation + 1) % NGX_HTTP_APISCALE_LIMIT_GENERATIONS;
    }

    slot->rates[generation] = rate;
    slot->generation = generation;
    policy->bucket.generation = (unsigned) generation;
}
