#include "base/secure_bytes.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace p11ha::base {

void wipe(void* data, std::size_t size) noexcept {
  if (size != 0) explicit_bzero(data, size);
}

SecretPage::SecretPage(std::span<const std::uint8_t> secret) : size_(secret.size()) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapped_ = (std::max<std::size_t>(size_, 1) + page - 1) / page * page;
  void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  page_ = static_cast<std::uint8_t*>(memory);
  mlock(page_, mapped_);
  madvise(page_, mapped_, MADV_DONTDUMP);
  madvise(page_, mapped_, MADV_WIPEONFORK);
  std::copy(secret.begin(), secret.end(), page_);
}

SecretPage::~SecretPage() {
  wipe(page_, mapped_);
  munmap(page_, mapped_);
}

std::span<const std::uint8_t> SecretPage::bytes() const { return {page_, size_}; }

}  // namespace p11ha::base
