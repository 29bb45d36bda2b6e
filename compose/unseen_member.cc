#include "compose/unseen_member.h"

namespace p11ha::compose {

CK_RV UnseenMember::attach() {
  if (cryptoki::Member* found = found_.load(std::memory_order_acquire)) return found->attach();
  CK_RV rv = CKR_TOKEN_NOT_PRESENT;
  for (const auto& candidate : candidates_) {
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

cryptoki::Outcome UnseenMember::execute(const cryptoki::Call& call) {
  cryptoki::Member* found = found_.load(std::memory_order_acquire);
  return found == nullptr ? cryptoki::Outcome{CKR_TOKEN_NOT_PRESENT, cryptoki::Fate::NotSent} : found->execute(call);
}

}  // namespace p11ha::compose
