// mbedTLS (Debian: libmbedtls-dev), see docs/decisions/0010-mbedtls.md. Only `TLS` and `Display` import it.
#ifndef WAFER_CMBEDTLS_SHIM_H
#define WAFER_CMBEDTLS_SHIM_H

#include <mbedtls/des.h>
#include <mbedtls/entropy.h>
#include <mbedtls/entropy_poll.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#endif
