#include "cryptoki/call.h"

#include <type_traits>

namespace p11ha::cryptoki {
namespace {

constexpr Effect None{};
constexpr Effect Cancel{EffectKind::Cancel, Op::None, Op::None};
constexpr Effect Restore{EffectKind::Restore, Op::None, Op::None};
template <Op O>
constexpr Effect Begin{EffectKind::Begin, O, Op::None};
template <Op O>
constexpr Effect Whole{EffectKind::Whole, O, Op::None};
template <Op O>
constexpr Effect Part{EffectKind::Part, O, Op::None};
template <Op O>
constexpr Effect Final{EffectKind::Final, O, Op::None};
template <Op O>
constexpr Effect Message{EffectKind::Message, O, Op::None};
template <Op A, Op B>
constexpr Effect Dual{EffectKind::Dual, A, B};

// A row whose roles are given as types.
template <class... Roles>
consteval Function row(std::string_view name, Route route, Effect effect, Replay replay, Spread spread) {
  static_assert(sizeof...(Roles) <= kMaxArguments);
  static_assert((Roles::words + ...) <= kMaxWords);
  Function f{name, route, effect, replay, spread};
  ((f.arguments[f.argumentCount++] = {Roles::kind, f.wordCount, Roles::words},
    f.wordCount = static_cast<std::uint8_t>(f.wordCount + Roles::words)),
   ...);
  for (const Argument& argument : f.args()) {
    if (argument.role == RoleKind::Mechanism) f.mechanismWord = argument.word;
    if (isObjectHandle(argument.role)) f.objectWords[f.objectCount++] = argument.word;
  }
  return f;
}

template <class Signature, class... Roles>
constexpr bool spells = std::is_same_v<typename detail::ParametersOf<Signature>::Type,
                                       decltype(std::tuple_cat(std::declval<typename Roles::Parameters>()...))>;

#define COMMA ,
// Each row is spelt as the header declares the function.
namespace check {
using namespace role;
#define FN(name, route, effect, replay, spread, ...) \
  static_assert(spells<CK_C_##name, __VA_ARGS__>, "functions.def: the roles of C_" #name " are not its parameters");
#include "cryptoki/functions.def"
#undef FN
}  // namespace check

namespace rows {
using namespace role;
constexpr std::array<Function, kFunctionCount> table{{
#define FN(name, route_, effect_, replay_, spread_, ...) \
  row<__VA_ARGS__>("C_" #name, Route::route_, effect_, Replay::replay_, Spread::spread_),
#include "cryptoki/functions.def"
#undef FN
}};
}  // namespace rows
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
    if (rows::table[i].name != kHeaderNames[i]) return false;
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

constinit const std::array<Function, kFunctionCount> kFunctions = rows::table;

const Fn* findFunction(std::string_view name) {
  for (std::size_t i = 0; i < kFunctionCount; ++i) {
    if (rows::table[i].name == name) return &kFns[i];
  }
  return nullptr;
}

}  // namespace p11ha::cryptoki
