#include "ha/watched_token.h"

#include <new>

namespace p11ha::ha {
namespace {

// At the token's own PIN pad (CKF_PROTECTED_AUTHENTICATION_PATH).
bool waitsForAPerson(const cryptoki::Call& call) {
  const cryptoki::Argument* const pin = cryptoki::function(call.fn).find(cryptoki::RoleKind::Pin);
  return pin != nullptr && call.get<const void*>(pin->word) == nullptr;
}

}  // namespace

cryptoki::Outcome WatchedToken::execute(const cryptoki::Call& call) {
  if (waitsForAPerson(call)) return token_->execute(call);
  std::list<Running> own;
  try {
    own.push_back({call.fn, epoch_.load(std::memory_order_acquire)});
  } catch (const std::bad_alloc&) {
    return {CKR_HOST_MEMORY, cryptoki::Fate::Answered};
  }
  const auto place = own.begin();
  {
    base::Lock lock(mutex_);
    running_.splice(running_.end(), own);
  }
  const cryptoki::Outcome outcome = token_->execute(call);
  base::Lock lock(mutex_);
  own.splice(own.end(), running_, place);
  return outcome;
}

void WatchedToken::visit(const std::function<void(Running&)>& visitor) {
  base::Lock lock(mutex_);
  for (Running& running : running_) visitor(running);
}

}  // namespace p11ha::ha
