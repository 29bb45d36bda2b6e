// What a member has said of its mechanisms, which do not change while its module is at work.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "cryptoki/pkcs11.h"

namespace p11ha::transport {

/// Any thread; noting may throw std::bad_alloc.
class MechanismAnswers {
 public:
  /// C_GetMechanismList: true if that is known, and answered with CKR_OK. What is to be answered otherwise, the member
  /// answers itself.
  bool list(CK_MECHANISM_TYPE* list, CK_ULONG* count) const P11HA_EXCLUDES(mutex_);
  void noteList(std::span<const CK_MECHANISM_TYPE> list) P11HA_EXCLUDES(mutex_);

  /// C_GetMechanismInfo: the answer, if it is known.
  std::optional<CK_RV> info(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) const P11HA_EXCLUDES(mutex_);
  void noteInfo(CK_MECHANISM_TYPE type, CK_RV rv, const CK_MECHANISM_INFO& info) P11HA_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kMost = 4096;
  struct Answer {
    CK_RV rv = CKR_OK;
    CK_MECHANISM_INFO info{};
  };

  mutable base::Mutex mutex_;
  std::optional<std::vector<CK_MECHANISM_TYPE>> list_ P11HA_GUARDED_BY(mutex_);
  std::map<CK_MECHANISM_TYPE, Answer> infos_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::transport
