// The mechanisms of a group: those that every member offers which was there at C_Initialize.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "cryptoki/member.h"

namespace p11ha::ha {

/// Built at C_Initialize, constant from then on ("never shrinks in a process").
class MechanismTable {
 public:
  /// Narrows the table by what a member offers; the first one sets it. The member's outcome if it will not tell, and
  /// then the table is as it was.
  cryptoki::Outcome intersect(cryptoki::Member& member);

  /// One that the table has and the member has not, if there is any. The member's outcome if it will not tell.
  cryptoki::Outcome compare(cryptoki::Member& member, std::optional<CK_MECHANISM_TYPE>& lacking) const;

  bool offers(CK_MECHANISM_TYPE type) const { return entries_.contains(type); }
  std::vector<CK_MECHANISM_TYPE> list() const { return order_; }
  /// Nullptr if the group does not offer it.
  const CK_MECHANISM_INFO* info(CK_MECHANISM_TYPE type) const;

 private:
  bool any_ = false;
  std::vector<CK_MECHANISM_TYPE> order_;  // the first member's
  std::map<CK_MECHANISM_TYPE, CK_MECHANISM_INFO> entries_;
};

}  // namespace p11ha::ha
