#include "tests/support/softhsm.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "cryptoki/return_codes.h"
#include "cryptoki/text.h"

namespace p11ha::tests {
namespace {

class TokenMaker {
 public:
  TokenMaker(std::string pin, std::string soPin) : pin_(std::move(pin)), soPin_(std::move(soPin)) {}

  /// The serials, a line each. Only for a process that ends afterwards.
  std::string make(std::size_t count) {
    void* library = dlopen(kSoftHsmModule, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto getList = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    check(getList(&functions_), "C_GetFunctionList");
    check(functions_->C_Initialize(nullptr), "C_Initialize");
    std::string serials;
    for (std::size_t i = 0; i < count; ++i) serials += makeOne(SoftHsmStore::label(i)) + "\n";
    check(functions_->C_Finalize(nullptr), "C_Finalize");
    return serials;
  }

 private:
  static void check(CK_RV rv, const char* what) {
    if (rv != CKR_OK) throw std::runtime_error(std::string(what) + ": " + cryptoki::returnCodeName(rv));
  }
  static CK_UTF8CHAR_PTR bytes(std::string& text) { return reinterpret_cast<CK_UTF8CHAR_PTR>(text.data()); }

  // SoftHSM keeps one uninitialised token at hand, in the last slot.
  CK_SLOT_ID freeSlot() {
    CK_ULONG count = 0;
    check(functions_->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
    std::vector<CK_SLOT_ID> slots(count);
    check(functions_->C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList");
    return slots.at(count - 1);
  }

  std::string makeOne(const std::string& label) {
    const CK_SLOT_ID slot = freeSlot();
    CK_UTF8CHAR padded[32];
    cryptoki::pad(padded, label);
    check(functions_->C_InitToken(slot, bytes(soPin_), soPin_.size(), padded), "C_InitToken");
    CK_SESSION_HANDLE session = 0;
    check(functions_->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session),
          "C_OpenSession");
    check(functions_->C_Login(session, CKU_SO, bytes(soPin_), soPin_.size()), "C_Login");
    check(functions_->C_InitPIN(session, bytes(pin_), pin_.size()), "C_InitPIN");
    check(functions_->C_CloseSession(session), "C_CloseSession");
    CK_TOKEN_INFO info{};
    check(functions_->C_GetTokenInfo(slot, &info), "C_GetTokenInfo");
    return cryptoki::unpad(info.serialNumber);
  }

  std::string pin_;
  std::string soPin_;
  CK_FUNCTION_LIST_PTR functions_ = nullptr;
};

[[noreturn]] void beTheChild(int out, TokenMaker maker, std::size_t count) {
  std::string said;
  try {
    said = maker.make(count);
  } catch (const std::exception& e) {
    said = std::string("! ") + e.what();
  }
  const bool written = write(out, said.data(), said.size()) == static_cast<ssize_t>(said.size());
  _exit(written ? 0 : 1);  // without the parent's exit handlers
}

std::string makeInChild(const TokenMaker& maker, std::size_t count) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe failed");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) beTheChild(ends[1], maker, count);
  close(ends[1]);
  std::string said;
  char part[512];
  for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;) said.append(part, static_cast<std::size_t>(n));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return said;
}

}  // namespace

SoftHsmStore::SoftHsmStore(std::size_t tokens, std::string pin, std::string soPin)
    : pin_(std::move(pin)), soPin_(std::move(soPin)) {
  std::filesystem::create_directory(folder_ / "tokens");
  std::ofstream(configuration()) << "directories.tokendir = " << (folder_ / "tokens").string()
                                 << "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
                                    "library.reset_on_fork = true\n";
  setenv("SOFTHSM2_CONF", configuration().c_str(), 1);
  std::istringstream said(makeInChild(TokenMaker(pin_, soPin_), tokens));
  std::string line;
  while (std::getline(said, line)) {
    if (line.starts_with("!")) throw std::runtime_error("SoftHSM tokens: " + line);
    serials_.push_back(line);
  }
  if (serials_.size() != tokens) throw std::runtime_error("SoftHSM tokens: the child that makes them died");
}

}  // namespace p11ha::tests
