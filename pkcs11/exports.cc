// The symbols of libp11ha.so.
#include "cryptoki/entry_points.h"
#include "pkcs11/dispatch.h"
#include "pkcs11/extensions.h"

#define P11HA_ENTRY(fn) p11ha::cryptoki::EntryPoints<p11ha::pkcs11::Dispatch, CKF_INTERFACE_FORK_SAFE>::Entry<fn>::run
#define P11HA_EXTENSION(name) p11ha::pkcs11::extension::name
#include "cryptoki/exports.inc"
