#include "cryptoki/softhsm_store.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "cryptoki/text.h"

namespace p11ha::cryptoki {

namespace fs = std::filesystem;

namespace {

// For one kind of call while the other goes on. Beyond, as the library may hang or make a long key, they run together.
constexpr std::chrono::seconds kPatience{2};

constexpr std::size_t indexOf(auto kind) { return static_cast<std::size_t>(kind); }

// As SoftHSM looks for it.
fs::path configurationFile() {
  // NOLINTBEGIN(concurrency-mt-unsafe): SoftHSM reads them likewise
  if (const char* const named = std::getenv("SOFTHSM2_CONF")) return named;
  const char* const home = std::getenv("HOME");
  // NOLINTEND(concurrency-mt-unsafe)
  std::error_code ignored;
  if (home != nullptr) {
    fs::path own = fs::path(home) / ".config/softhsm2/softhsm2.conf";
    if (fs::exists(own, ignored)) return own;
  }
  for (const char* const usual : {"/etc/softhsm/softhsm2.conf", "/etc/softhsm2.conf"}) {
    if (fs::exists(usual, ignored)) return usual;
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto begin = text.find_first_not_of(kBlank);
  return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

fs::path tokenDirectory() {
  std::ifstream file(configurationFile());
  for (std::string line; std::getline(file, line);) {
    const std::string_view text = std::string_view(line).substr(0, line.find('#'));
    const auto equals = text.find('=');
    if (equals != text.npos && trimmed(text.substr(0, equals)) == "directories.tokendir")
      return trimmed(text.substr(equals + 1));
  }
  return {};
}

}  // namespace

std::unique_ptr<SoftHsmStore> SoftHsmStore::find(const FunctionList& functions, std::string_view serial) {
  CK_INFO info{};
  if (invoke(functions, makeCall<Fn::GetInfo>(&info)) != CKR_OK || unpad(info.manufacturerID) != "SoftHSM" ||
      serial.size() != 16)
    return nullptr;
  // A token's directory is named by a UUID, whose end is the serial number.
  const std::string end = std::string(serial.substr(0, 4)) + '-' + std::string(serial.substr(4));
  std::error_code error;
  for (fs::directory_iterator at(tokenDirectory(), error), none; !error && at != none; at.increment(error)) {
    if (at->path().filename().native().ends_with(end)) return std::make_unique<SoftHsmStore>(at->path() / "generation");
  }
  return nullptr;
}

bool SoftHsmStore::open() {
  struct stat status {};
  if (file_ && fstat(file_.get(), &status) == 0 && status.st_nlink != 0) return true;
  file_ = base::Descriptor(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  return static_cast<bool>(file_);
}

class SoftHsmStore::Passage {
 public:
  Passage(SoftHsmStore& store, Kind kind) : store_(store), kind_(kind) { store_.enter(kind_); }
  ~Passage() { store_.leave(kind_); }
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

 private:
  SoftHsmStore& store_;
  const Kind kind_;
};

CK_RV SoftHsmStore::run(const FunctionList& functions, const Call& call) {
  std::optional<Passage> passage;
  if (call.fn == Fn::FindObjectsInit) passage.emplace(*this, Kind::Search);
  if (changesObjects(call.fn)) passage.emplace(*this, Kind::Change);
  return invoke(functions, call);
}

// In the order in which they came: neither keeps the other out for ever.
void SoftHsmStore::enter(Kind kind) {
  const Kind other = kind == Kind::Search ? Kind::Change : Kind::Search;
  base::Lock lock(mutex_);
  const auto own = waiting_.insert(next_++).first;
  const base::Monotonic until = base::now() + kPatience;
  while ((own != waiting_.begin() || inside_.at(indexOf(other)) != 0) && base::now() < until)
    passing_.waitUntil(mutex_, until);
  waiting_.erase(own);
  ++inside_.at(indexOf(kind));
  passing_.notifyAll();
  if (kind == Kind::Search && std::exchange(isChanged_, false)) raise();
}

void SoftHsmStore::leave(Kind kind) {
  base::Lock lock(mutex_);
  isChanged_ = isChanged_ || kind == Kind::Change;
  if (--inside_.at(indexOf(kind)) == 0) passing_.notifyAll();
}

void SoftHsmStore::raise() {
  if (!open()) return;
  // Of the open file, not of the process: SoftHSM's own, in this process, must not end with it.
  struct flock region {};
  region.l_type = F_WRLCK;
  region.l_whence = SEEK_SET;
  if (fcntl(file_.get(), F_OFD_SETLKW, &region) != 0) return;
  std::uint64_t number = 0;
  if (pread(file_.get(), &number, sizeof number, 0) == sizeof number) {
    number = htobe64(be64toh(number) + 1);
    // What cannot be written, as on a full disk, is as if it had not been tried.
    [[maybe_unused]] const auto written = pwrite(file_.get(), &number, sizeof number, 0);
  }
  region.l_type = F_UNLCK;
  fcntl(file_.get(), F_OFD_SETLKW, &region);
}

}  // namespace p11ha::cryptoki
