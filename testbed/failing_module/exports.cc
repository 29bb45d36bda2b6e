// The symbols of p11ha-failing.so.
#include "cryptoki/entry_points.h"
#include "testbed/failing_module/entry.h"

#define P11HA_ENTRY(fn) p11ha::cryptoki::EntryPoints<&p11ha::testbed::enter, 0>::Entry<fn>::run
#include "cryptoki/exports.inc"
