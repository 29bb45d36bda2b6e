// The C border of a module of ours, whether it is reached by its symbols or by a function list.
#pragma once

#include "cryptoki/call.h"
#include "cryptoki/interfaces.h"

namespace p11ha::cryptoki {

/// The functions of a module in which `Answer::run<F>(Call&)` answers every call but those that ask for the
/// functions themselves; its interfaces have `kInterfaceFlags`. The lists point at functions of its own and not at the
/// exported symbols, in whose place another library's would be called where one is loaded for all.
template <class Answer, CK_FLAGS kInterfaceFlags>
class EntryPoints {
 public:
  /// `Entry<Fn::Sign>::run` is C_Sign.
  template <Fn F, class Signature = typename detail::SignatureOf<F>::Pointer>
  struct Entry;
  template <Fn F, class... Params>
  struct Entry<F, CK_RV (*)(Params...)> {
    // One frame for all that the answer is made of: most calls take a straight way through it. The exported symbol is
    // not a second copy.
    [[gnu::flatten, gnu::noinline]] static CK_RV run(Params... params) {
      if constexpr (F == Fn::GetFunctionList) {
        return kInterfaces.getFunctionList(params...);
      } else if constexpr (F == Fn::GetInterfaceList) {
        return kInterfaces.getInterfaceList(params...);
      } else if constexpr (F == Fn::GetInterface) {
        return kInterfaces.getInterface(params...);
      } else {
        Call call = makeCall<F>(params...);
        return Answer::template run<F>(call);
      }
    }
  };

 private:
  static constexpr CK_FUNCTION_LIST_3_0 kFunctions = {
      {3, 0},
#define FN(name, ...) &Entry<Fn::name>::run,
#include "cryptoki/functions.def"
#undef FN
  };

  static constexpr CK_FUNCTION_LIST kOldFunctions = [] {
    CK_FUNCTION_LIST list{};
    list.version = {2, 40};
#define CK_PKCS11_FUNCTION_INFO(name) list.name = kFunctions.name;
#undef CK_PKCS11_3_0
#include <nss/pkcs11f.h>
#undef CK_PKCS11_FUNCTION_INFO
    return list;
  }();

  static constexpr Interfaces kInterfaces{kFunctions, kOldFunctions, kInterfaceFlags};
};

}  // namespace p11ha::cryptoki
