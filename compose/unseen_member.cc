#include "compose/unseen_member.h"

namespace p11ha::compose {

void UnseenMember::lookAt(std::shared_ptr<cryptoki::Member> candidate) {
  base::Lock lock(mutex_);
  candidates_.push_back(std::move(candidate));
}

std::vector<std::shared_ptr<cryptoki::Member>> UnseenMember::candidates() const {
  base::Lock lock(mutex_);
  return candidates_;
}

CK_RV UnseenMember::attach() {
  if (cryptoki::Member* found = found_.load(std::memory_order_acquire)) return found->attach();
  CK_RV rv = CKR_TOKEN_NOT_PRESENT;
  for (const auto& candidate : candidates()) {
    const CK_RV there = candidate->attach();
    if (there == CKR_OK) {
      found_.store(candidate.get(), std::memory_order_release);
      return CKR_OK;
    }
    // Where nobody can be asked, it may be.
    if (rv == CKR_TOKEN_NOT_PRESENT) rv = there;
  }
  return rv;
}

// Of those it was looked for at, whoever has more to say than that it is not there.
std::string UnseenMember::problem() const {
  if (const cryptoki::Member* found = found_.load(std::memory_order_acquire)) return found->problem();
  for (const auto& candidate : candidates()) {
    if (std::string problem = candidate->problem(); !problem.empty()) return problem;
  }
  return {};
}

cryptoki::Standing UnseenMember::standing() const {
  const cryptoki::Member* found = found_.load(std::memory_order_acquire);
  return found == nullptr ? cryptoki::Standing::Active : found->standing();
}

cryptoki::Outcome UnseenMember::execute(const cryptoki::Call& call) {
  cryptoki::Member* found = found_.load(std::memory_order_acquire);
  return found == nullptr ? cryptoki::Outcome{CKR_TOKEN_NOT_PRESENT, cryptoki::Fate::NotSent} : found->execute(call);
}

}  // namespace p11ha::compose
