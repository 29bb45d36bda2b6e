#include "config/load.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/descriptor.h"
#include "config/file.h"

namespace p11ha::config {

namespace {

base::Failure<Diagnostic> failure(const std::string& path, const std::string& text) {
  return base::Failure{Diagnostic{Severity::Error, path, 0, "", text}};
}

}  // namespace

base::Result<Loaded, Diagnostic> load(const std::string& path, std::size_t most) {
  const base::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return failure(path, "expected a readable configuration file: " + errorText(errno));
  struct stat found {};
  if (fstat(file.get(), &found) != 0) {
    return failure(path, "expected a readable configuration file: " + errorText(errno));
  }
  if (!S_ISREG(found.st_mode) && !S_ISCHR(found.st_mode)) {
    return failure(path, std::string("expected a configuration file, found ") +
                             (S_ISDIR(found.st_mode) ? "a directory" : "something else"));
  }

  std::string text;
  text.reserve(std::min(most, static_cast<std::size_t>(std::max<off_t>(found.st_size, 0))));
  std::array<char, 65536> piece;
  for (;;) {
    const ssize_t n = ::read(file.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure(path, "expected a readable configuration file: " + errorText(errno));
    if (n == 0) break;
    if (static_cast<std::size_t>(n) > most - text.size()) {
      return failure(path, "expected a configuration file of at most " + std::to_string(most) + " bytes");
    }
    text.append(piece.data(), static_cast<std::size_t>(n));
  }
  return Loaded{Document::parse(std::move(text), path), base::stampFrom(found)};
}

}  // namespace p11ha::config
