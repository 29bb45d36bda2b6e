// Which C_...Init calls would succeed if they were made again.
#pragma once

#include <map>
#include <span>
#include <utility>

#include "base/mutex.h"
#include "base/secure_bytes.h"
#include "cryptoki/function.h"

namespace p11ha::transport {

/// Inits that a member has taken: the function, and its arguments as they were encoded, without the session. Each is
/// good for the epoch in which it was taken: whatever may change a member's mind begins another. Any thread; adding may
/// throw std::bad_alloc.
class KnownInits {
 public:
  enum class Standing : std::uint8_t {
    Unknown,
    Once,   // taken before, but not known to be fit for being held back
    Good,   // may be held back
    Never,  // must not be, as its key wants to be authenticated for each use or the member writes to its parameter
  };
  /// What is longer is not kept.
  static constexpr std::size_t kLongest = 1024;

  Standing find(cryptoki::Fn fn, std::span<const std::uint8_t> init, std::uint64_t epoch) const P11HA_EXCLUDES(mutex_);
  void note(cryptoki::Fn fn, std::span<const std::uint8_t> init, std::uint64_t epoch, Standing standing)
      P11HA_EXCLUDES(mutex_);
  void forget(cryptoki::Fn fn, std::span<const std::uint8_t> init) P11HA_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kMost = 512;
  struct Entry {
    std::uint64_t epoch = 0;
    Standing standing = Standing::Unknown;
  };
  using Key = std::pair<cryptoki::Fn, base::SecureBytes>;
  using View = std::pair<cryptoki::Fn, std::span<const std::uint8_t>>;
  struct Less {
    using is_transparent = void;
    static bool less(const View& a, const View& b);
    static View view(const Key& key) { return {key.first, key.second}; }
    static const View& view(const View& key) { return key; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return less(view(a), view(b));
    }
  };

  mutable base::Mutex mutex_;
  std::map<Key, Entry, Less> entries_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::transport
