// What a module offers an application that asks for its functions (PKCS #11 v3.0, 5.4.4 to 5.4.6).
#pragma once

#include "cryptoki/pkcs11.h"

namespace p11ha::cryptoki {

/// The interface "PKCS 11" with two lists of the same functions: v3.0, preferred where the application names no
/// version, and v2.40. Borrows both lists, which outlive it. Constant; any thread, initialised or not.
class Interfaces {
 public:
  constexpr Interfaces(const CK_FUNCTION_LIST_3_0& newest, const CK_FUNCTION_LIST& old, CK_FLAGS flags)
      : old_(old),
        offered_{{name(), const_cast<CK_FUNCTION_LIST_3_0*>(&newest), flags},
                 {name(), const_cast<CK_FUNCTION_LIST*>(&old), flags}} {}

  CK_RV getFunctionList(CK_FUNCTION_LIST_PTR_PTR list) const;
  CK_RV getInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count) const;
  CK_RV getInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
                     CK_FLAGS flags) const;

 private:
  static constexpr CK_UTF8CHAR kName[] = "PKCS 11";
  // The standard's types do not say that they are constant.
  static constexpr CK_UTF8CHAR* name() { return const_cast<CK_UTF8CHAR*>(kName); }

  const CK_FUNCTION_LIST& old_;
  CK_INTERFACE offered_[2];
};

}  // namespace p11ha::cryptoki
