// Copying an object from one member to another with plain PKCS #11 calls (CLONING.md, "The domain", "Without a
// domain").
#pragma once

#include <optional>
#include <string>

#include "ha/copied.h"
#include "ha/domain_keys.h"

namespace p11ha::ha {

/// Public objects and those that are not sensitive are copied by reading their attributes. Keys travel wrapped: under a
/// key of the cloning domain that both members hold, or by way of a third member that shares one with each; where there
/// is no such way, and under CloningPolicy user, those that are extractable anyway under an AES key that the members
/// hand each other by RSA-OAEP. That key lives, like everything here, in sessions of p11ha's own on the members and
/// ends with them; it shows in no search. Any thread; holds those sessions of both members, of two at a time.
class Cloner {
 public:
  Cloner(Group& group, DomainKeys& domainKeys) : group_(group), domainKeys_(domainKeys) {}

  /// Whether the copy is a token object, and in which session it is made: p11ha's own where `session` is empty.
  struct Target {
    GroupMember& member;
    std::uint32_t epoch;
    bool token;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  };

  /// `own`: the sessions that it works in, on both members.
  Copied copy(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object, const Target& target,
              OwnSession own = &GroupMember::control);

  /// Could this object of that member be copied at all, as far as these attributes of it
  /// (domain::kConveyanceNature) tell? Empty: yes; else why not.
  std::string obstacle(const cryptoki::Template& attributes, unsigned member) const;

 private:
  struct Ends;

  /// `through`: set, and nothing copied, where there is a way by that member only.
  Copied copyHeld(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object, const Target& target,
                  OwnSession own, std::optional<unsigned>* through);
  Copied copyThrough(GroupMember& third, GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object,
                     const Target& target, OwnSession own);
  Copied copyBetween(Ends& ends, CK_OBJECT_HANDLE object, const Target& target, std::optional<unsigned>* through);
  Copied copySealed(Ends& ends, CK_OBJECT_HANDLE object, const domain::Kind& kind, const Target& target,
                    std::optional<unsigned>* through);
  std::optional<Copied> copyByDomain(Ends& ends, CK_OBJECT_HANDLE object, const domain::Kind& kind,
                                     const Target& target, std::optional<unsigned>* through);
  Copied copyWrapped(Ends& ends, CK_OBJECT_HANDLE object, cryptoki::Template& wanted, const Target& target);
  std::optional<Copied> shareTransferKey(Ends& ends);

  Group& group_;
  DomainKeys& domainKeys_;
  std::atomic<std::uint64_t> nextGeneration_{1};
};

}  // namespace p11ha::ha
