#include "transport/client/known_inits.h"

#include <cstring>

namespace p11ha::transport {

bool KnownInits::Less::less(const View& a, const View& b) {
  if (a.first != b.first) return a.first < b.first;
  if (a.second.size() != b.second.size()) return a.second.size() < b.second.size();
  return std::memcmp(a.second.data(), b.second.data(), a.second.size()) < 0;
}

KnownInits::Standing KnownInits::find(cryptoki::Fn fn, std::span<const std::uint8_t> init, std::uint64_t epoch) const {
  base::Lock lock(mutex_);
  const auto found = entries_.find(View{fn, init});
  return found == entries_.end() || found->second.epoch != epoch ? Standing::Unknown : found->second.standing;
}

void KnownInits::note(cryptoki::Fn fn, std::span<const std::uint8_t> init, std::uint64_t epoch, Standing standing) {
  if (init.size() > kLongest) return;
  Key own(fn, base::SecureBytes(init.begin(), init.end()));
  base::Lock lock(mutex_);
  const auto found = entries_.find(own);
  if (found != entries_.end()) {
    found->second = {epoch, standing};
    return;
  }
  // Parameters that never come again (a fresh IV each time) fill it: those that do will soon be back.
  if (entries_.size() >= kMost) entries_.clear();
  entries_.emplace(std::move(own), Entry{epoch, standing});
}

void KnownInits::forget(cryptoki::Fn fn, std::span<const std::uint8_t> init) {
  base::Lock lock(mutex_);
  const auto found = entries_.find(View{fn, init});
  if (found != entries_.end()) entries_.erase(found);
}

}  // namespace p11ha::transport
