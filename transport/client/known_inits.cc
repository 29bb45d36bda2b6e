#include "transport/client/known_inits.h"

#include <cstring>

namespace p11ha::transport {

bool KnownInits::Less::operator()(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) const {
  if (a.size() != b.size()) return a.size() < b.size();
  return std::memcmp(a.data(), b.data(), a.size()) < 0;
}

KnownInits::Standing KnownInits::find(std::span<const std::uint8_t> init, std::uint64_t epoch) const {
  base::Lock lock(mutex_);
  const auto found = entries_.find(init);
  return found == entries_.end() || found->second.epoch != epoch ? Standing::Unknown : found->second.standing;
}

void KnownInits::note(std::span<const std::uint8_t> init, std::uint64_t epoch, Standing standing) {
  if (init.size() > kLongest) return;
  base::SecureBytes own(init.begin(), init.end());
  base::Lock lock(mutex_);
  const auto found = entries_.find(init);
  if (found != entries_.end()) {
    found->second = {epoch, standing};
    return;
  }
  // Parameters that never come again (a fresh IV each time) fill it: those that do will soon be back.
  if (entries_.size() >= kMost) entries_.clear();
  entries_.emplace(std::move(own), Entry{epoch, standing});
}

void KnownInits::forget(std::span<const std::uint8_t> init) {
  base::Lock lock(mutex_);
  const auto found = entries_.find(init);
  if (found != entries_.end()) entries_.erase(found);
}

}  // namespace p11ha::transport
