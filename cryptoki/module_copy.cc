#include "cryptoki/module_copy.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>

#include "base/descriptor.h"

namespace p11ha::cryptoki {
namespace {

bool copyAll(int from, int to) {
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;
  for (;;) {
    const ssize_t copied = sendfile(to, from, nullptr, kAtOnce);
    if (copied == 0) return true;
    if (copied < 0 && errno != EINTR) return false;
  }
}

}  // namespace

void* loadModuleCopy(const std::string& file) {
  const base::Descriptor original(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  const base::Descriptor copy(memfd_create(std::filesystem::path(file).filename().c_str(), MFD_CLOEXEC));
  if (!original || !copy || !copyAll(original.get(), copy.get())) return nullptr;
  // The loader takes a name that it knows for the same library, and descriptors' numbers come again.
  static std::atomic<unsigned> copies{0};
  std::string name = "/proc/self/";
  for (unsigned i = copies.fetch_add(1); i > 0; --i) name += "./";
  return dlopen((name + "fd/" + std::to_string(copy.get())).c_str(), RTLD_NOW | RTLD_LOCAL);
}

}  // namespace p11ha::cryptoki
