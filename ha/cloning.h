// Copying an object from one member to another with plain PKCS #11 calls (CLONING.md, "The domain", "Without a
// domain").
#pragma once

#include <optional>
#include <string>

#include "cryptoki/attribute_reader.h"
#include "ha/copied.h"
#include "ha/domain/transfer.h"
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

  /// An object on its way from one member to another.
  struct Parcel {
    domain::Sent sent;                               // unwrapped where it holds a wrapped key, else made anew
    CK_OBJECT_HANDLE domainKey = CK_INVALID_HANDLE;  // that unwraps it
    bool isWrapped() const { return domainKey != CK_INVALID_HANDLE; }
  };
  /// The source's part of copy(), for a token object, in the source's session alone: so that it can be done while the
  /// target is busy with another object. Nothing where there is no such way, or anything goes wrong: copy() then finds
  /// out what.
  std::optional<Parcel> take(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object, unsigned target,
                             OwnSession own);
  /// The target's. What is Refused here copy() may still do.
  Copied put(Parcel& parcel, const Target& target, OwnSession own);

  /// Could this object of that member be copied at all, as far as these attributes of it
  /// (domain::kConveyanceNature) tell? Empty: yes; else why not.
  std::string obstacle(const cryptoki::Template& attributes, unsigned member) const;

 private:
  struct Ends;

  // What of an object decides how it travels.
  struct Nature {
    CK_OBJECT_CLASS objectClass = CK_UNAVAILABLE_INFORMATION;
    bool readable = true;  // whole, by its attributes
    cryptoki::Template attributes;
    cryptoki::CopyValue value() const {
      const bool isKey = objectClass == CKO_PRIVATE_KEY || objectClass == CKO_SECRET_KEY;
      return isKey && readable ? cryptoki::CopyValue::With : cryptoki::CopyValue::Without;
    }
  };
  // Nothing where it can be copied; else why not.
  std::optional<Copied> lookAt(GroupMember& source, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                               Nature& nature) const;
  struct DomainKeyPair {
    CK_OBJECT_HANDLE atSource = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE atTarget = CK_INVALID_HANDLE;
    std::optional<unsigned> through;  // only by way of that member: then neither
  };
  std::optional<DomainKeyPair> domainKeysOf(const domain::Kind& kind, unsigned source, unsigned target);

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
