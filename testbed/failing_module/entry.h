// What every entry point of p11ha-failing.so does, whether it is reached by its symbol or by a function list.
#pragma once

#include "cryptoki/call.h"

namespace p11ha::testbed {

/// Hands the call to the runtime of this process. Any thread.
CK_RV enter(const cryptoki::Call& call);

/// Answered here, whatever module is wrapped.
CK_RV getFunctionList(CK_FUNCTION_LIST_PTR_PTR list);
CK_RV getInterfaceList(CK_INTERFACE_PTR out, CK_ULONG_PTR count);
CK_RV getInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags);

template <cryptoki::Fn F>
struct Entry {
  template <class... Args>
  static CK_RV run(Args... args) {
    return enter(cryptoki::makeCall<F>(args...));
  }
};
template <>
struct Entry<cryptoki::Fn::GetFunctionList> {
  static constexpr auto run = &getFunctionList;
};
template <>
struct Entry<cryptoki::Fn::GetInterfaceList> {
  static constexpr auto run = &getInterfaceList;
};
template <>
struct Entry<cryptoki::Fn::GetInterface> {
  static constexpr auto run = &getInterface;
};

}  // namespace p11ha::testbed
