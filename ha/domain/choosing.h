// By which domain key a key travels, and which way: pure (CLONING.md, "The domain").
#pragma once

#include <optional>
#include <span>
#include <string>

#include "cryptoki/template.h"
#include "ha/domain/holding.h"

namespace p11ha::ha::domain {

/// How an object is to be copied.
struct Conveyance {
  enum class Way : std::uint8_t {
    Read,    // its attributes are read, and it is made anew: it is no key, is public, or is not sensitive
    Domain,  // under the domain key of that kind
    None,    // it is not cloned: `reason`
  };
  Way way = Way::None;
  Kind kind;
  std::string reason;
};

/// By the object's attributes: kNature of them, at least, are to be there. The shape SENSITIVE + EXTRACTABLE +
/// WRAP_WITH_TRUSTED is that of keys which the application asked to be non-extractable: they go sealed. A shape that is
/// WRAP_WITH_TRUSTED and not sensitive goes sealed, too, or it could not be wrapped at all, and is sensitive on the
/// other side.
inline constexpr CK_ATTRIBUTE_TYPE kConveyanceNature[] = {CKA_CLASS,       CKA_PRIVATE,           CKA_SENSITIVE,
                                                          CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED, CKA_DERIVE,
                                                          CKA_KEY_TYPE,    CKA_VALUE_LEN};
Conveyance conveyanceOf(const cryptoki::Template& attributes);

/// From one member to another, by their places in the list of holdings; with a third one, two transfers, and on the
/// third the key exists meanwhile as a session object.
struct Route {
  Generation first;  // of the key that both ends hold, or the source and the third
  std::optional<std::size_t> through;
  Generation second;  // that the third and the target hold; only with a third
  friend bool operator==(const Route&, const Route&) = default;
};

/// The newest generation of that kind that both ends hold; else through the first third member that shares one with
/// each. Once a member was removed, which any member's sealed keys tell, no generation before it is used any more: a
/// member that was away then has to join again. Nothing: there is no way.
std::optional<Route> chooseRoute(const Kind& kind, std::span<const Holding> members, std::size_t from, std::size_t to);

/// Does that one of the members hold a key of that kind which is in use?
bool carries(const Kind& kind, std::span<const Holding> members, std::size_t which);

}  // namespace p11ha::ha::domain
