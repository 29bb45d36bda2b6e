#include "cryptoki/call.h"
#include "cryptoki/ha_state.h"

#include <type_traits>

namespace p11ha::cryptoki {
namespace {

template <class Signature, class... Roles>
constexpr bool spells = std::is_same_v<typename detail::ParametersOf<Signature>::Type,
                                       decltype(std::tuple_cat(std::declval<typename Roles::Parameters>()...))>;

#define COMMA ,
// Each row is spelt as the header declares the function.
namespace check {
using namespace role;
#define FN(name, route, effect, replay, spread, ...) \
  static_assert(spells<CK_C_##name, __VA_ARGS__>, "functions.def: the roles of C_" #name " are not its parameters");
#define CA(name, route, effect, replay, spread, ...) \
  static_assert(spells<CK_CA_##name, __VA_ARGS__>, "functions.def: the roles of CA_" #name " are not its parameters");
#include "cryptoki/functions.def"
#undef FN
}  // namespace check

#undef COMMA

// The rows are the header's functions, all of them and in its order.
constexpr std::string_view kHeaderNames[] = {
#define CK_PKCS11_FUNCTION_INFO(name) #name,
#define CK_PKCS11_3_0 1
#include <nss/pkcs11f.h>
#undef CK_PKCS11_FUNCTION_INFO
};
consteval bool namesAgree() {
  if (std::size(kHeaderNames) != kFunctionCount) return false;
  for (std::size_t i = 0; i < kFunctionCount; ++i) {
    if (kFunctions[i].name != kHeaderNames[i]) return false;
  }
  return true;
}
static_assert(namesAgree(), "functions.def differs from the function list of pkcs11.h");

constexpr auto kFns = [] {
  std::array<Fn, kFunctionCount> all{};
  for (std::size_t i = 0; i < kFunctionCount; ++i) all[i] = static_cast<Fn>(i);
  return all;
}();

}  // namespace

const Fn* findFunction(std::string_view name) {
  for (std::size_t i = 0; i < kFunctionCount; ++i) {
    if (kFunctions[i].name == name) return &kFns[i];
  }
  return nullptr;
}

}  // namespace p11ha::cryptoki
