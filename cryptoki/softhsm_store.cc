#include "cryptoki/softhsm_store.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "cryptoki/text.h"

namespace p11ha::cryptoki {

namespace fs = std::filesystem;

namespace {

// With what others do. Beyond, as the library may hang, or take long over a key, they run together.
constexpr std::chrono::seconds kPatience{2};

bool isOfToken(const Call& call) {
  for (const Argument& argument : function(call.fn).args()) {
    if (argument.role != RoleKind::InTemplate) continue;
    const auto* const attributes = call.get<const CK_ATTRIBUTE*>(argument.word);
    if (attributes == nullptr) continue;
    for (const CK_ATTRIBUTE& attribute : std::span(attributes, call.get<CK_ULONG>(argument.word + 1))) {
      if (attribute.type == CKA_TOKEN && attribute.pValue != nullptr && attribute.ulValueLen == sizeof(CK_BBOOL))
        return *static_cast<const CK_BBOOL*>(attribute.pValue) != CK_FALSE;
    }
  }
  return false;
}

// The object it is about may be one of the token's, or one that it makes.
bool mayChangeToken(const Call& call) {
  switch (function(call.fn).replay) {
    case Replay::Idempotent:
      return true;
    case Replay::Create:
      return call.fn == Fn::CopyObject || isOfToken(call);
    default:
      return false;
  }
}

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

class SoftHsmStore::Shared {
 public:
  explicit Shared(SoftHsmStore& store) : store_(store) { store_.enterShared(); }
  ~Shared() { store_.leaveShared(); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

 private:
  SoftHsmStore& store_;
};

class SoftHsmStore::Alone {
 public:
  explicit Alone(SoftHsmStore& store) : store_(store) { store_.enterAlone(); }
  ~Alone() { store_.leaveAlone(); }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  SoftHsmStore& store_;
};

CK_RV SoftHsmStore::run(const FunctionList& functions, const Call& call) {
  if (mayChangeToken(call)) {
    const Alone alone(*this);
    return invoke(functions, call);
  }
  const bool searches = call.fn == Fn::FindObjectsInit;
  if (!searches && function(call.fn).objectCount == 0) return invoke(functions, call);
  const Shared shared(*this);
  if (searches) showChanges();
  return invoke(functions, call);
}

void SoftHsmStore::enterShared() {
  ++sharers_;
  if (changers_ == 0) return;
  leaveShared();
  base::Lock lock(mutex_);
  if (changers_ != 0) {
    ++waiting_;
    const std::uint64_t phase = phase_;
    const base::Monotonic until = base::now() + kPatience;
    while (phase_ == phase && base::now() < until) passing_.waitUntil(mutex_, until);
    if (phase_ != phase) return;
    --waiting_;
  }
  ++sharers_;
}

void SoftHsmStore::leaveShared() {
  if (--sharers_ != 0 || changers_ == 0) return;
  base::Lock lock(mutex_);
  passing_.notifyAll();
}

void SoftHsmStore::enterAlone() {
  base::Lock lock(mutex_);
  ++changers_;
  const base::Monotonic until = base::now() + kPatience;
  while ((alone_ != 0 || sharers_ != 0) && base::now() < until) passing_.waitUntil(mutex_, until);
  ++alone_;
}

// Those that waited for it are next, before other changes.
void SoftHsmStore::leaveAlone() {
  isChanged_ = true;
  base::Lock lock(mutex_);
  --alone_;
  --changers_;
  if (waiting_ != 0) {
    sharers_ += std::exchange(waiting_, 0);
    ++phase_;
  }
  passing_.notifyAll();
}

void SoftHsmStore::showChanges() {
  if (!isChanged_) return;
  base::Lock lock(mutex_);
  // Whoever searches at the same time waits here until it is raised.
  if (!isChanged_) return;
  raise();
  isChanged_ = false;
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
