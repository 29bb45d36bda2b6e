// The symbols of p11ha-failing.so.
#include "testbed/failing_module/entry.h"

#define P11HA_ENTRY(fn) p11ha::testbed::Entry<fn>::run
#include "cryptoki/exports.inc"
