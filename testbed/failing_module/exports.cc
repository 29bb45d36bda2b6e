// The symbols of p11ha-failing.so.
#include "cryptoki/entry_points.h"
#include "testbed/failing_module/entry.h"

namespace p11ha::testbed {

struct Enter {
  template <cryptoki::Fn F>
  static CK_RV run(const cryptoki::Call& call) {
    return enter(call);
  }
};

}  // namespace p11ha::testbed

#define P11HA_ENTRY(fn) p11ha::cryptoki::EntryPoints<p11ha::testbed::Enter, 0>::Entry<fn>::run
#include "cryptoki/exports.inc"
