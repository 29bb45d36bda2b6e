#include "cryptoki/softhsm_store.h"

#include <endian.h>
#include <fcntl.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>

#include "cryptoki/text.h"

namespace p11ha::cryptoki {

namespace fs = std::filesystem;

namespace {

constexpr int kMostSearches = 4;  // beside changes that go on

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
    if (at->path().filename().native().ends_with(end))
      return std::make_unique<SoftHsmStore>(at->path() / "generation");
  }
  return nullptr;
}

bool SoftHsmStore::open() {
  struct stat status {};
  if (file_ && fstat(file_.get(), &status) == 0 && status.st_nlink != 0) return true;
  file_ = base::Descriptor(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  return static_cast<bool>(file_);
}

// A call that may make or destroy an object, for as long as it runs.
class SoftHsmStore::Change {
 public:
  explicit Change(SoftHsmStore& store) : store_(store) {
    ++store_.underWay_;
    ++store_.changes_;
  }
  ~Change() {
    ++store_.changes_;
    --store_.underWay_;
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  SoftHsmStore& store_;
};

CK_RV SoftHsmStore::run(const FunctionList& functions, const Call& call) {
  if (call.fn == Fn::FindObjectsInit) return search(functions, call);
  std::optional<Change> change;
  if (makesOrDestroys(call.fn)) change.emplace(*this);
  return invoke(functions, call);
}

CK_RV SoftHsmStore::search(const FunctionList& functions, const Call& call) {
  for (int left = kMostSearches;;) {
    const std::uint64_t changes = changes_;
    if (shown_ != changes) show(changes);
    const CK_RV rv = invoke(functions, call);
    // A change that ran beside it may have taken the raised number for its own.
    const bool mayHaveMissed = underWay_ != 0 || changes_ != changes;
    if (rv != CKR_OK || !mayHaveMissed || --left == 0) return rv;
    invoke(functions, makeCall<Fn::FindObjectsFinal>(call.get<CK_SESSION_HANDLE>(0)));
  }
}

void SoftHsmStore::show(std::uint64_t changes) {
  base::Lock lock(mutex_);
  if (shown_ == changes) return;
  raise();
  shown_ = changes;
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
