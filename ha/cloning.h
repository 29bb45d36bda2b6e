// Copying an object from one member to another with plain PKCS #11 calls (CLONING.md, "Without a domain").
#pragma once

#include <optional>
#include <string>

#include "ha/group.h"

namespace p11ha::ha {

/// What came of a copy.
struct Copied {
  enum class Result : std::uint8_t {
    Done,     // `handle` on the target
    Refused,  // it cannot be copied: `reason`
    TargetLost,
    SourceLost,
  };
  Result result = Result::Done;
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  std::string reason;
  cryptoki::Outcome outcome;  // the member's, unless Done
};

/// Copies under CloningPolicy user: public objects and those that are not sensitive by reading their attributes,
/// extractable keys wrapped under an AES key that the members hand each other by RSA-OAEP. That key lives, like
/// everything here, in the members' control sessions and ends with them; it shows in no search. Any thread; holds the
/// control sessions of both members.
class Cloner {
 public:
  explicit Cloner(Group& group) : group_(group) {}

  /// Whether the copy is a token object, and in which session it is made: the target's control session where `session`
  /// is empty.
  struct Target {
    GroupMember& member;
    std::uint32_t epoch;
    bool token;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  };

  Copied copy(GroupMember& source, std::uint32_t sourceEpoch, CK_OBJECT_HANDLE object, const Target& target);

  /// Could this object be copied at all, as far as these attributes of it (kNature) tell? Empty: yes; else why not.
  static constexpr CK_ATTRIBUTE_TYPE kNature[] = {CKA_CLASS,       CKA_KEY_TYPE,          CKA_SENSITIVE,
                                                  CKA_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED, CKA_VALUE_LEN};
  static std::string obstacle(const cryptoki::Template& attributes, CloningPolicy policy);

 private:
  struct Ends;

  Copied copyBetween(Ends& ends, CK_OBJECT_HANDLE object, const Target& target);
  Copied copyWrapped(Ends& ends, CK_OBJECT_HANDLE object, cryptoki::Template& wanted, const Target& target);
  std::optional<Copied> shareTransferKey(Ends& ends);

  Group& group_;
  std::atomic<std::uint64_t> nextGeneration_{1};
};

}  // namespace p11ha::ha
