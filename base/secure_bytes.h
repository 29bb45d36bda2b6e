// Memory for PINs, keys and whatever may contain them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace p11ha::base {

/// Overwrites memory in a way the optimiser may not remove.
void wipe(void* data, std::size_t size) noexcept;

/// Wipes before it frees; everything else is std::allocator.
template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class U>
  WipingAllocator(const WipingAllocator<U>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* p, std::size_t n) noexcept {
    wipe(p, n * sizeof(T));
    std::allocator<T>().deallocate(p, n);
  }
  friend bool operator==(const WipingAllocator&, const WipingAllocator&) { return true; }
};

/// Bytes that are wiped when they are freed or reallocated.
using SecureBytes = std::vector<std::uint8_t, WipingAllocator<std::uint8_t>>;

/// Empties it and keeps its memory, which is wiped.
inline void wipeAndClear(SecureBytes& bytes) noexcept {
  wipe(bytes.data(), bytes.size());
  bytes.clear();
}

/// A small secret that lives for long (a cached PIN): on pages of its own, locked in memory, left out of core dumps
/// (MADV_DONTDUMP), empty in forked children (MADV_WIPEONFORK), wiped at the end.
/// Owned by one object; callers synchronise. Constructing may throw std::bad_alloc; a page that cannot be locked
/// (RLIMIT_MEMLOCK) is used unlocked.
class SecretPage {
 public:
  explicit SecretPage(std::span<const std::uint8_t> secret);
  ~SecretPage();
  SecretPage(const SecretPage&) = delete;
  SecretPage& operator=(const SecretPage&) = delete;

  std::span<const std::uint8_t> bytes() const;

 private:
  std::uint8_t* page_;
  std::size_t mapped_;
  std::size_t size_;
};

}  // namespace p11ha::base
