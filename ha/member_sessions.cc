#include "ha/member_sessions.h"

#include <algorithm>
#include <utility>

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

std::optional<MemberSession> MemberSessions::borrow(std::uint32_t epoch, CK_FLAGS flags) {
  base::Lock lock(mutex_);
  const auto found = std::find_if(pool_.rbegin(), pool_.rend(),
                                  [&](const MemberSession& s) { return s.epoch == epoch && s.flags == flags; });
  if (found == pool_.rend()) return std::nullopt;
  const MemberSession session = *found;
  pool_.erase(std::next(found).base());
  return session;
}

bool MemberSessions::giveBack(const MemberSession& session) {
  base::Lock lock(mutex_);
  if (pool_.size() >= kPoolSize) return false;
  pool_.push_back(session);
  return true;
}

void MemberSessions::discard(const MemberSession& session) {
  base::Lock lock(mutex_);
  discarded_.push_back(session);
}

std::vector<MemberSession> MemberSessions::takeAll() {
  base::Lock lock(mutex_);
  std::vector<MemberSession> all = std::exchange(pool_, {});
  all.insert(all.end(), discarded_.begin(), discarded_.end());
  discarded_.clear();
  return all;
}

Outcome ControlSession::Use::open(cryptoki::Member& token, std::uint32_t epoch) {
  MemberSession& session = control_.session_;
  if (session.handle != CK_INVALID_HANDLE && session.epoch == epoch) return {};
  if (session.handle != CK_INVALID_HANDLE) close(token);
  CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
  const Outcome opened = openSession(token, CKF_RW_SESSION, handle);
  if (opened.rv == CKR_OK) session = {handle, epoch, CKF_RW_SESSION};
  return opened;
}

void ControlSession::Use::close(cryptoki::Member& token) {
  if (control_.session_.handle != CK_INVALID_HANDLE)
    token.execute(makeCall<Fn::CloseSession>(control_.session_.handle));
  forget();
}

void ControlSession::Use::forget() {
  control_.session_ = {};
  control_.transferKey_ = {};
}

Outcome openSession(cryptoki::Member& token, CK_FLAGS flags, CK_SESSION_HANDLE& handle) {
  return token.execute(makeCall<Fn::OpenSession>(CK_SLOT_ID{0}, flags | CKF_SERIAL_SESSION, nullptr, nullptr, &handle));
}

}  // namespace p11ha::ha
