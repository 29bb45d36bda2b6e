#include "ha/watched_token.h"

#include <new>

namespace p11ha::ha {

cryptoki::Outcome WatchedToken::execute(const cryptoki::Call& call) {
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
