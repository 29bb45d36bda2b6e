#include "cli/log_tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

namespace p11ha::cli {
namespace {

constexpr std::string_view kCurrent = "haErrorLog.txt";
constexpr std::string_view kAside = "haErrorLog_";

// Names in the order in which files got them: by the time in them, then by the number behind it.
std::pair<std::string, unsigned long> orderOf(const std::string& name) {
  constexpr std::size_t kStamp = kAside.size() + std::string_view("YYYYMMDD_HHMMSS").size();
  if (name == kCurrent) return {"~", 0};  // after all others
  const std::string behind = name.size() > kStamp ? name.substr(kStamp) : "";
  return {name.substr(0, kStamp), behind.starts_with('_') ? std::strtoul(behind.c_str() + 1, nullptr, 10) : 0};
}

std::vector<std::string> linesOf(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

}  // namespace

std::vector<LogTail::File> LogTail::files() const {
  std::vector<std::string> names;
  std::error_code failed;
  for (std::filesystem::directory_iterator at(directory_, failed);
       !failed && at != std::filesystem::directory_iterator(); at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (name == kCurrent || (name.starts_with(kAside) && name.ends_with(".txt"))) names.push_back(name);
  }
  std::sort(names.begin(), names.end(),
            [](const std::string& a, const std::string& b) { return orderOf(a) < orderOf(b); });
  std::vector<File> files;
  for (const std::string& name : names) {
    struct stat found {};
    if (stat((directory_ + "/" + name).c_str(), &found) == 0 && S_ISREG(found.st_mode))
      files.push_back({name, found.st_dev, found.st_ino});
  }
  return files;
}

void LogTail::open(const File& file) {
  file_ =
      base::Descriptor(::open((directory_ + "/" + file.name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  // Under that name may be another file by now.
  struct stat opened {};
  if (!file_ || fstat(file_.get(), &opened) != 0) return;
  device_ = opened.st_dev;
  inode_ = opened.st_ino;
}

std::string LogTail::rest() {
  std::string text;
  std::array<char, 65536> piece;
  for (ssize_t got = 0; file_ && (got = read(file_.get(), piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<std::size_t>(got));
  return text;
}

std::vector<std::string> LogTail::last(std::size_t lines) {
  std::vector<std::string> all;
  const std::vector<File> found = files();
  // From the newest file back, as far as it takes; the newest stays open.
  for (std::size_t i = found.size(); i-- > 0 && all.size() < lines;) {
    open(found[i]);
    std::vector<std::string> own = linesOf(rest());
    own.insert(own.end(), all.begin(), all.end());
    all = std::move(own);
  }
  if (!found.empty() && !isOpen(found.back())) {
    open(found.back());
    if (file_) lseek(file_.get(), 0, SEEK_END);
  }
  remember(found);
  if (all.size() > lines) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(lines));
  return all;
}

std::vector<std::string> LogTail::more() {
  std::string text = begun_ + rest();
  const std::vector<File> found = files();
  const auto last = std::find_if(found.begin(), found.end(), [this](const File& file) { return isOpen(file); });
  // Where the file is gone that was read last, what was known besides has been read before it.
  auto next = last != found.end() ? last + 1 : std::find_if(found.begin(), found.end(), [this](const File& file) {
    return orderOf(file.name) > orderOf(aside_);
  });
  for (; next != found.end(); ++next) {
    open(*next);
    text += rest();
  }
  remember(found);
  const std::size_t end = text.rfind('\n') + 1;
  begun_ = text.substr(end);
  return linesOf(std::string_view(text).substr(0, end));
}

void LogTail::remember(const std::vector<File>& found) {
  for (const File& file : found) {
    if (file.name != kCurrent) aside_ = file.name;
  }
}

}  // namespace p11ha::cli
