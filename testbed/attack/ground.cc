#include "testbed/attack/ground.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "cryptoki/modules.h"
#include "cryptoki/return_codes.h"
#include "ha/domain/holding.h"
#include "ha/inventory.h"

namespace p11ha::attack {

using base::SecureBytes;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Template;

namespace {

constexpr char kUserPin[] = "12345678";

void demand(const cryptoki::Outcome& outcome, const std::string& what) {
  if (outcome.rv != CKR_OK) throw std::runtime_error(what + ": " + cryptoki::returnCodeName(outcome.rv));
}

// The ciphertext of a block of zeros; empty where the key does not encrypt.
SecureBytes encryptBlock(const ha::domain::OnToken& token, CK_OBJECT_HANDLE key) {
  CK_MECHANISM ecb{CKM_AES_ECB, nullptr, 0};
  SecureBytes block(16, 0);
  SecureBytes out(16);
  CK_ULONG size = out.size();
  if (token.member.execute(makeCall<Fn::EncryptInit>(token.session, &ecb, key)).rv != CKR_OK) return {};
  const auto outcome =
      token.member.execute(makeCall<Fn::Encrypt>(token.session, block.data(), block.size(), out.data(), &size));
  return outcome.rv == CKR_OK ? out : SecureBytes();
}

}  // namespace

std::string tokenLabel(Weakness weakness, bool second) {
  if (weakness == Weakness::None) return second ? "scheme-2" : "scheme-1";
  return second ? "elsewhere" : "weak-" + std::to_string(static_cast<unsigned>(weakness));
}
std::string weakKeyLabel(CK_OBJECT_CLASS carries) {
  return carries == CKO_SECRET_KEY ? "domain key for secret keys" : "domain key for private keys";
}
std::string victimLabel(CK_OBJECT_CLASS objectClass) {
  return objectClass == CKO_SECRET_KEY ? "secret victim" : "private victim";
}

Ground::Ground(std::shared_ptr<cryptoki::Member> member, Weakness weakness, const SecureBytes& pin)
    : member_(std::move(member)), weakness_(weakness), pin_(pin), session_(*member_) {
  demand(session_.open(), "C_OpenSession");
  logIn();
}

void Ground::logIn() { demand(session_.login(CKU_USER, pin_), "C_Login"); }
void Ground::logOut() { demand(session_.logout(), "C_Logout"); }

CK_OBJECT_HANDLE Ground::find(CK_OBJECT_CLASS objectClass, const std::string& label) const {
  Template query;
  query.addUlong(CKA_CLASS, objectClass);
  query.addText(CKA_LABEL, label);
  std::vector<CK_OBJECT_HANDLE> found;
  demand(ha::listObjects(*member_, token().session, query, found), "C_FindObjects");
  if (found.empty()) throw std::runtime_error("there is no \"" + label + "\"");
  return found.front();
}

CK_OBJECT_HANDLE Ground::domainKey(CK_OBJECT_CLASS carries) const {
  if (weakness_ != Weakness::None) return find(CKO_SECRET_KEY, weakKeyLabel(carries));
  ha::domain::Holding holding;
  demand(ha::domain::readHolding(token(), holding), "the search for domain keys");
  for (const auto& key : holding.keys) {
    if (key.kind == ha::domain::Kind{ha::domain::Seal::Sealed, carries, false}) return key.handle;
  }
  throw std::runtime_error("there is no domain key");
}

CK_OBJECT_HANDLE Ground::victim(CK_OBJECT_CLASS objectClass) const {
  return find(objectClass, victimLabel(objectClass));
}

bool Ground::isValueOfVictim(const SecureBytes& value) const {
  Template key;
  key.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  key.addUlong(CKA_KEY_TYPE, CKK_AES);
  key.addBool(CKA_TOKEN, false);
  key.addBool(CKA_ENCRYPT, true);
  key.addBytes(CKA_VALUE, value);
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  if (token().create(std::move(key), made).rv != CKR_OK) return false;
  const SecureBytes ours = encryptBlock(token(), made);
  token().destroy(made);
  return !ours.empty() && ours == encryptBlock(token(), victim(CKO_SECRET_KEY));
}

Arena::Arena(const std::string& module)
    : folder_((std::filesystem::temp_directory_path() / "p11ha-attack-XXXXXX").string()),
      pin_(kUserPin, kUserPin + sizeof kUserPin - 1) {
  if (mkdtemp(folder_.data()) == nullptr) throw std::runtime_error(folder_ + " cannot be made");
  std::filesystem::create_directory(folder_ + "/tokens");
  const std::string configuration = folder_ + "/softhsm2.conf";
  std::ofstream(configuration) << "directories.tokendir = " << folder_
                               << "/tokens\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n";
  setenv("SOFTHSM2_CONF", configuration.c_str(), 1);
  const pid_t child = fork();
  if (child == 0) {
    int status = 0;
    try {
      buildArena(module, pin_);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "p11ha-attack: %s\n", error.what());
      status = 1;
    }
    _exit(status);
  }
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
    throw std::runtime_error("the tokens cannot be made");

  static auto& modules = *new cryptoki::Modules;  // never destroyed, as what it loads
  auto opened = modules.open({module, ""});
  if (!opened) throw std::runtime_error(opened.error());
  const auto tokens = (*opened)->tokens();
  const auto ground = [&](Weakness weakness, bool second) {
    for (const auto& token : *tokens) {
      if (token.label != tokenLabel(weakness, second)) continue;
      return std::make_unique<Ground>(std::make_shared<cryptoki::LocalMember>(*opened, token.serial, std::nullopt),
                                      weakness, pin_);
    }
    throw std::runtime_error("there is no token " + tokenLabel(weakness, second));
  };
  for (std::size_t i = 0; i < kWeaknesses; ++i) grounds_.push_back(ground(static_cast<Weakness>(i), false));
  schemeElsewhere_ = ground(Weakness::None, true);
  weakElsewhere_ = ground(Weakness::WeakElsewhere, true);
}

Arena::~Arena() {
  schemeElsewhere_.reset();
  weakElsewhere_.reset();
  grounds_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace p11ha::attack
