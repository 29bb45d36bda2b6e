// The symbols of libp11ha.so.
#include "pkcs11/dispatch.h"

namespace p11ha::pkcs11 {
namespace {

template <cryptoki::Fn F>
struct EntryPoint {
  template <class... Args>
  static CK_RV run(Args... args) {
    return dispatch(cryptoki::makeCall<F>(args...));
  }
};
template <>
struct EntryPoint<cryptoki::Fn::GetFunctionList> {
  static constexpr auto run = &getFunctionList;
};
template <>
struct EntryPoint<cryptoki::Fn::GetInterfaceList> {
  static constexpr auto run = &getInterfaceList;
};
template <>
struct EntryPoint<cryptoki::Fn::GetInterface> {
  static constexpr auto run = &getInterface;
};

}  // namespace
}  // namespace p11ha::pkcs11

#define P11HA_ENTRY(fn) p11ha::pkcs11::EntryPoint<fn>::run
#include "cryptoki/exports.inc"
