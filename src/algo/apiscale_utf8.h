
/*
 * Copyright (C) apiscale authors
 */


/*
 * UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing
 * above U+10FFFF.  Depends on stddef.h only.
 */


#ifndef APISCALE_UTF8_H_INCLUDED_
#define APISCALE_UTF8_H_INCLUDED_


#include <stddef.h>


size_t apiscale_utf8_sequence(const unsigned char *p, size_t len);


#endif /* APISCALE_UTF8_H_INCLUDED_ */
