// Failover's second half: an operation that another member began is begun again, given what it took, and its output
// compared with what the application has.
#include "ha/mechanism_handles.h"
#include "ha/tries.h"

namespace p11ha::ha {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Outcome;
using cryptoki::RoleKind;

namespace {

// Beyond its input, an output holds at most what the operation kept back before: blocks, a tag.
constexpr std::size_t kSlack = 1024;

}  // namespace

Outcome Failover::restore(GroupMember& member, Session& session, Operation& operation, Tries& tries) {
  GroupMember& before = group_.member(operation.member);
  const bool movesAway = &before != &member && !before.lostSince(operation.epoch);
  Outcome outcome = beginAgain(member, session, operation, tries);
  if (outcome.rv == CKR_OK && !tries.absent) outcome = replay(member, session, operation, tries);
  if (outcome.rv != CKR_OK || tries.absent || tries.diverged) {
    // Half an operation is no use; what else the session has there can be begun again too.
    if (!isLoss(outcome)) abandonSession(session, member);
    return outcome;
  }
  operation.member = static_cast<std::uint8_t>(member.index);
  operation.epoch = tries.epoch;
  // The member that had it would refuse the session's next Init.
  if (movesAway && session.allRestorableOn(before.index)) abandonSession(session, before);
  return outcome;
}

Outcome Failover::beginAgain(GroupMember& member, Session& session, Operation& operation, Tries& tries) {
  const CK_SESSION_HANDLE handle = session.members[member.index].handle;
  auto sent = translate(operation.mechanism, group_, catalog_, member, tries.epoch);
  tries.absent = !sent;
  if (tries.absent) return {};
  Call init{operation.init, {handle, reinterpret_cast<std::uintptr_t>(sent->get())}};
  if (cryptoki::function(operation.init).find(RoleKind::KeyId) != nullptr && operation.key != nullptr) {
    const CK_OBJECT_HANDLE key = catalog_.handleOn(operation.key, member, tries.epoch);
    if (key == CK_INVALID_HANDLE) {
      tries.absent = true;
      return {};
    }
    init.set(2, key);
  }
  Outcome begun = execute(member, tries.epoch, session, init);
  if (begun.rv == CKR_OK && operation.authentication != nullptr) {
    Call login = operation.authentication->call();
    login.setSession(handle);
    begun = execute(member, tries.epoch, session, login);
  }
  return begun;
}

Outcome Failover::replay(GroupMember& member, Session& session, Operation& operation, Tries& tries) {
  if (!operation.fed()) return {};
  Journal& journal = operation.progress->journal;
  OutputStream& output = operation.progress->output;
  output.beginReplay();
  for (const Journal::Entry& entry : journal.entries()) {
    Call call = journal.call(entry);
    const cryptoki::Function& row = cryptoki::function(entry.fn);
    call.setSession(session.members[member.index].handle);
    if (const cryptoki::Argument* argument = row.find(RoleKind::KeyId)) {
      const CK_OBJECT_HANDLE key = catalog_.handleOn(entry.key, member, tries.epoch);
      tries.absent = key == CK_INVALID_HANDLE;
      if (tries.absent) return {};
      call.set(argument->word, key);
    }
    const cryptoki::Argument* out = row.find(RoleKind::OutBytes);
    // A signature is asked for by the last call of a message only.
    const bool hasOutput = out != nullptr && row.effect.op != cryptoki::Op::MessageSign;
    base::SecureBytes bytes(hasOutput ? entry.inputs[0].length + kSlack : 0);
    CK_ULONG length = bytes.size();
    if (hasOutput) {
      call.set(out->word, bytes.data());
      call.set(out->word + 1U, &length);
    }
    const Outcome outcome = execute(member, tries.epoch, session, call);
    if (outcome.rv != CKR_OK) return outcome;
    tries.diverged = hasOutput && !output.take({bytes.data(), std::min<std::size_t>(length, bytes.size())});
    if (tries.diverged) return {};
  }
  return {};
}

// The call as it is, or, after the operation has moved, with what the member says again kept back.
Outcome Failover::withOutput(GroupMember& member, Session& session, Call& call, Operation& operation, Tries& tries) {
  const cryptoki::Argument& out = *tries.row.find(RoleKind::OutBytes);
  auto* const wanted = call.get<CK_BYTE*>(out.word);
  auto* const wantedLength = call.get<CK_ULONG*>(out.word + 1U);
  OutputStream& output = operation.parts().output;
  if (wantedLength == nullptr || output.plain()) {
    const Outcome outcome = execute(member, tries.epoch, session, call);
    if (outcome.rv == CKR_OK && wanted != nullptr && wantedLength != nullptr && operation.restorable())
      output.handOut({wanted, *wantedLength});
    return outcome;
  }
  // Each of two operations takes the other's output, so that neither's can be held back.
  tries.diverged = tries.row.effect.kind == cryptoki::EffectKind::Dual;
  if (tries.diverged) return {};
  CK_ULONG length = 0;
  const auto telling = [&] { return output.queued().size() + (length > output.owed() ? length - output.owed() : 0); };
  call.set(out.word, static_cast<CK_BYTE*>(nullptr));
  call.set(out.word + 1U, &length);
  if (const Outcome told = execute(member, tries.epoch, session, call); told.rv != CKR_OK) return told;
  const CK_ULONG room = std::exchange(*wantedLength, telling());
  if (wanted == nullptr) return {};
  if (room < *wantedLength) return {CKR_BUFFER_TOO_SMALL, Fate::Answered};
  base::SecureBytes bytes(std::max<CK_ULONG>(length, 1));
  length = bytes.size();
  call.set(out.word, bytes.data());
  const Outcome outcome = execute(member, tries.epoch, session, call);
  if (outcome.rv == CKR_BUFFER_TOO_SMALL) *wantedLength = telling();
  if (outcome.rv != CKR_OK) return outcome;
  const bool last = tries.row.effect.kind == cryptoki::EffectKind::Final;
  tries.diverged =
      !output.take({bytes.data(), std::min<std::size_t>(length, bytes.size())}) || (last && output.owed() != 0);
  if (tries.diverged) return outcome;
  std::copy(output.queued().begin(), output.queued().end(), wanted);
  *wantedLength = output.queued().size();
  output.handOutQueue();
  return outcome;
}

}  // namespace p11ha::ha
