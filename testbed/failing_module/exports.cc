// The symbols of p11ha-failing.so, from the one list of functions.
#include <tuple>

#include "testbed/failing_module/entry.h"

namespace p11ha::testbed {
namespace {

template <class Signature>
struct ParametersOf;
template <class... Params>
struct ParametersOf<CK_RV (*)(Params...)> {
  using Type = std::tuple<Params...>;
};
template <class Signature, std::size_t I>
using Param = std::tuple_element_t<I, typename ParametersOf<Signature>::Type>;

}  // namespace
}  // namespace p11ha::testbed

// Each export has to be spelt with as many parameters as the function has. Their number is that of the words its roles
// stand for: every role becomes so many placeholders, and the last of nine candidates standing is the right macro. A
// wrong number would not compile: the header declares the same functions. (OutInfo is followed by its template
// argument, which stays with its placeholder.)
#define W_SlotId _
#define W_SessionId _
#define W_ObjectId _
#define W_KeyId _
#define W_WrappingKeyId _
#define W_UnwrappingKeyId _
#define W_OptionalKeyId _
#define W_NewObject _
#define W_NewSession _
#define W_FoundObjects _, _, _
#define W_Mechanism _
#define W_InTemplate _, _
#define W_OutTemplate _, _
#define W_InBytes _, _
#define W_OutBytes _, _
#define W_FilledBytes _, _
#define W_MessageParameter _, _
#define W_Pin _, _
#define W_UserName _, _
#define W_Label32 _
#define W_UserType _
#define W_Flags _
#define W_Present _
#define W_MechanismType _
#define W_OutNumber _
#define W_OutSlot _
#define W_OutSlots _, _
#define W_OutMechanisms _, _
#define W_OutInterfaces _, _
#define W_OutInfo _
#define W_Callback _, _
#define W_InitializeArguments _
#define W_Reserved _
#define W_OutFunctionList _
#define W_InterfaceRequest _, _, _, _

#define ROLES1(a) W_##a
#define ROLES2(a, b) W_##a, W_##b
#define ROLES3(a, b, c) W_##a, W_##b, W_##c
#define ROLES4(a, b, c, d) W_##a, W_##b, W_##c, W_##d
#define ROLES5(a, b, c, d, e) W_##a, W_##b, W_##c, W_##d, W_##e
#define ROLES6(a, b, c, d, e, f) W_##a, W_##b, W_##c, W_##d, W_##e, W_##f
#define SEVENTH(a, b, c, d, e, f, chosen, ...) chosen
#define WORDS(...) SEVENTH(__VA_ARGS__, ROLES6, ROLES5, ROLES4, ROLES3, ROLES2, ROLES1, _)(__VA_ARGS__)

#define P(name, i) p11ha::testbed::Param<CK_C_##name, i> a##i
#define RUN(name) return p11ha::testbed::Entry<p11ha::cryptoki::Fn::name>::run
#define EXPORT1(name) \
  CK_RV C_##name(P(name, 0)) { RUN(name)(a0); }
#define EXPORT2(name) \
  CK_RV C_##name(P(name, 0), P(name, 1)) { RUN(name)(a0, a1); }
#define EXPORT3(name) \
  CK_RV C_##name(P(name, 0), P(name, 1), P(name, 2)) { RUN(name)(a0, a1, a2); }
#define EXPORT4(name) \
  CK_RV C_##name(P(name, 0), P(name, 1), P(name, 2), P(name, 3)) { RUN(name)(a0, a1, a2, a3); }
#define EXPORT5(name) \
  CK_RV C_##name(P(name, 0), P(name, 1), P(name, 2), P(name, 3), P(name, 4)) { RUN(name)(a0, a1, a2, a3, a4); }
#define EXPORT6(name)                                                                      \
  CK_RV C_##name(P(name, 0), P(name, 1), P(name, 2), P(name, 3), P(name, 4), P(name, 5)) { \
    RUN(name)(a0, a1, a2, a3, a4, a5);                                                     \
  }
#define EXPORT7(name)                                                                                  \
  CK_RV C_##name(P(name, 0), P(name, 1), P(name, 2), P(name, 3), P(name, 4), P(name, 5), P(name, 6)) { \
    RUN(name)(a0, a1, a2, a3, a4, a5, a6);                                                             \
  }
#define EXPORT8(name)                                                                                              \
  CK_RV C_##name(P(name, 0), P(name, 1), P(name, 2), P(name, 3), P(name, 4), P(name, 5), P(name, 6), P(name, 7)) { \
    RUN(name)(a0, a1, a2, a3, a4, a5, a6, a7);                                                                     \
  }
#define EXPORT9(name)                                                                                            \
  CK_RV C_##name(P(name, 0), P(name, 1), P(name, 2), P(name, 3), P(name, 4), P(name, 5), P(name, 6), P(name, 7), \
                 P(name, 8)) {                                                                                   \
    RUN(name)(a0, a1, a2, a3, a4, a5, a6, a7, a8);                                                               \
  }
#define TENTH(a, b, c, d, e, f, g, h, i, chosen, ...) chosen
#define CHOOSE(...) \
  TENTH(__VA_ARGS__, EXPORT9, EXPORT8, EXPORT7, EXPORT6, EXPORT5, EXPORT4, EXPORT3, EXPORT2, EXPORT1, _)
#define FN(name, route, effect, replay, spread, ...) CHOOSE(WORDS(__VA_ARGS__))(name)
#include "cryptoki/functions.def"
