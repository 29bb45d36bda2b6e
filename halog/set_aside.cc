#include "halog/set_aside.h"

#include <array>
#include <cstdio>

#include "halog/log_settings.h"
#include "halog/rename_noreplace.h"

namespace p11ha::halog {

bool SetAside::rename(const std::string& directory, const std::tm& local) {
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%04d%02d%02d_%02d%02d%02d", 1900 + local.tm_year, 1 + local.tm_mon,
                local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec);
  // Names that were taken a moment ago still are: beginning anew each time would be quadratic.
  if (stamp_ != text.data()) {
    stamp_ = text.data();
    suffix_ = 0;
  }
  for (;; ++suffix_) {
    std::string to = directory + "/haErrorLog_" + stamp_;
    if (suffix_ > 0) to += "_" + std::to_string(suffix_);
    to += ".txt";
    const Renamed renamed = renameNoReplace(logPath(directory), to);
    if (renamed != Renamed::Taken) return renamed == Renamed::Done;
  }
}

}  // namespace p11ha::halog
