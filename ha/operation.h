// An operation of a session, and what it takes to begin it again on another member.
#pragma once

#include <memory>

#include "cryptoki/owned_mechanism.h"
#include "ha/journal.h"
#include "ha/output_stream.h"

namespace p11ha::ha {

/// What is known of an operation.
enum class Standing : std::uint8_t {
  Idle,
  Active,
  Doubtful,  // its member answered with an error: whether that ended it, the member alone knows
};

/// The C_Login(CKU_CONTEXT_SPECIFIC) that an operation was given, to be given again after its Init.
struct ContextLogin {
  cryptoki::Fn fn{};
  base::SecretPage pin;
  bool pinGiven = true;
  base::SecureBytes userName;  // C_LoginUser's

  explicit ContextLogin(const cryptoki::Call& call);
  /// The call, but for its session. Borrows from this object.
  cryptoki::Call call() const;
};

/// Owned by its Session, guarded by the session's mutex.
struct Operation {
  Standing standing = Standing::Idle;
  bool pinned = false;  // can only live on its member
  std::uint8_t member = 0;
  std::uint32_t epoch = 0;  // under which the member has it; 0: no member has it now
  cryptoki::Fn init{};
  cryptoki::OwnedMechanism mechanism;
  ObjectPtr key;  // kept beyond the operation: the next one is likely to use it again

  /// What it took in parts, and gave.
  struct Progress {
    Journal journal;
    OutputStream output;
  };
  std::unique_ptr<Progress> progress;  // kept beyond the operation, empty then
  std::unique_ptr<ContextLogin> authentication;

  bool active() const { return standing == Standing::Active; }
  bool isOn(unsigned index, std::uint32_t under) const { return member == index && epoch == under; }
  /// Took input in parts: its Init alone does not restore it.
  bool fed() const { return progress != nullptr && !progress->journal.empty(); }
  /// Can be begun again, and brought to where it is, on another member.
  bool restorable() const {
    return !pinned && !mechanism.pinned() && (progress == nullptr || progress->journal.complete());
  }
  Progress& parts() {
    if (progress == nullptr) progress = std::make_unique<Progress>();
    return *progress;
  }

  void end() {
    standing = Standing::Idle;
    pinned = false;
    if (progress != nullptr) endParts();
    if (authentication != nullptr) authentication.reset();
  }
  /// A message of it is over, or all of it.
  void endParts() {
    progress->journal.clear();
    progress->output.clear();
  }
};

}  // namespace p11ha::ha
