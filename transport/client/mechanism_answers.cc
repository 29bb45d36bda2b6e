#include "transport/client/mechanism_answers.h"

#include <algorithm>

namespace p11ha::transport {

bool MechanismAnswers::list(CK_MECHANISM_TYPE* list, CK_ULONG* count) const {
  if (count == nullptr) return false;
  base::Lock lock(mutex_);
  if (!list_ || (list != nullptr && *count < list_->size())) return false;
  *count = list_->size();
  if (list != nullptr) std::copy(list_->begin(), list_->end(), list);
  return true;
}

void MechanismAnswers::noteList(std::span<const CK_MECHANISM_TYPE> list) {
  base::Lock lock(mutex_);
  list_.emplace(list.begin(), list.end());
}

std::optional<CK_RV> MechanismAnswers::info(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) const {
  if (info == nullptr) return std::nullopt;
  base::Lock lock(mutex_);
  const auto known = infos_.find(type);
  if (known == infos_.end()) return std::nullopt;
  if (known->second.rv == CKR_OK) *info = known->second.info;
  return known->second.rv;
}

void MechanismAnswers::noteInfo(CK_MECHANISM_TYPE type, CK_RV rv, const CK_MECHANISM_INFO& info) {
  if (rv != CKR_OK && rv != CKR_MECHANISM_INVALID) return;
  base::Lock lock(mutex_);
  if (infos_.size() < kMost) infos_[type] = {rv, info};
}

}  // namespace p11ha::transport
