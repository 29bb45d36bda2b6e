#include "ha/mechanism_table.h"

#include <algorithm>

namespace p11ha::ha {

using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;

namespace {

constexpr CK_ULONG kMaxMechanisms = 65536;  // what a member may make us allocate

Outcome listMechanisms(cryptoki::Member& member, std::vector<CK_MECHANISM_TYPE>& types) {
  CK_ULONG count = 0;
  Outcome asked = member.execute(makeCall<Fn::GetMechanismList>(CK_SLOT_ID{0}, nullptr, &count));
  if (asked.rv != CKR_OK) return asked;
  if (count > kMaxMechanisms) return {CKR_GENERAL_ERROR};
  types.resize(count);
  asked = member.execute(makeCall<Fn::GetMechanismList>(CK_SLOT_ID{0}, types.data(), &count));
  if (asked.rv != CKR_OK) return asked;
  if (count > types.size()) return {CKR_GENERAL_ERROR};
  types.resize(count);
  return {};
}

}  // namespace

Outcome MechanismTable::intersect(cryptoki::Member& member) {
  std::vector<CK_MECHANISM_TYPE> types;
  if (const Outcome asked = listMechanisms(member, types); asked.rv != CKR_OK) return asked;

  std::map<CK_MECHANISM_TYPE, CK_MECHANISM_INFO> offered;
  for (const CK_MECHANISM_TYPE type : types) {
    CK_MECHANISM_INFO info{};
    if (member.execute(makeCall<Fn::GetMechanismInfo>(CK_SLOT_ID{0}, type, &info)).rv == CKR_OK)
      offered.emplace(type, info);
  }
  if (!any_) {
    any_ = true;
    order_ = std::move(types);
    entries_ = std::move(offered);
  } else {
    for (auto entry = entries_.begin(); entry != entries_.end();) {
      const auto found = offered.find(entry->first);
      if (found == offered.end()) {
        entry = entries_.erase(entry);
        continue;
      }
      CK_MECHANISM_INFO& common = entry->second;
      common.ulMinKeySize = std::max(common.ulMinKeySize, found->second.ulMinKeySize);
      common.ulMaxKeySize = std::min(common.ulMaxKeySize, found->second.ulMaxKeySize);
      common.flags &= found->second.flags;
      ++entry;
    }
  }
  std::erase_if(order_, [this](CK_MECHANISM_TYPE type) { return !entries_.contains(type); });
  return {};
}

Outcome MechanismTable::compare(cryptoki::Member& member, std::optional<CK_MECHANISM_TYPE>& lacking) const {
  std::vector<CK_MECHANISM_TYPE> types;
  if (const Outcome asked = listMechanisms(member, types); asked.rv != CKR_OK) return asked;
  for (const CK_MECHANISM_TYPE type : order_) {
    if (std::find(types.begin(), types.end(), type) != types.end()) continue;
    lacking = type;
    break;
  }
  return {};
}

const CK_MECHANISM_INFO* MechanismTable::info(CK_MECHANISM_TYPE type) const {
  const auto found = entries_.find(type);
  return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace p11ha::ha
