#include "tests/appliance/ha_messages_fixture.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/support/program.h"

namespace p11ha::tests {
namespace {

const std::string kGroup = "1000";

}  // namespace

HaMessages::HaMessages() {
  Pki::theOne();
  for (std::size_t member = 0; member < daemons_.size(); ++member) std::filesystem::create_directory(folderOf(member));
  std::filesystem::create_directory(store.folder() / "halog");
  setenv("P11HA_CONF", (store.folder() / "Chrystoki.conf").c_str(), 1);
}

HaMessages::~HaMessages() {
  if (initialized_) client.f->C_Finalize(nullptr);
  if (!HasFailure()) return;
  for (const Daemon& daemon : daemons_) std::fputs(daemon.log().c_str(), stderr);
}

void HaMessages::TearDown() {
  const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  for (const HaMessage& message : haMessages()) {
    if (std::find(message.tests.begin(), message.tests.end(), name) == message.tests.end()) continue;
    EXPECT_TRUE(tests::isLogged(log(), message)) << message.event << " was not logged, for which the table names it\n"
                                                 << log();
  }
}

std::filesystem::path HaMessages::folderOf(std::size_t member) const {
  return store.folder() / ("member" + std::to_string(member));
}

void HaMessages::serve(const ApplianceText& text) {
  for (std::size_t member = 0; member < daemons_.size(); ++member) {
    Daemon& daemon = daemons_.at(member);
    std::ofstream(daemon.configuration(), std::ios::trunc)
        << memberdConf(folderOf(member).string(), store.serial(member), text);
    ASSERT_NO_FATAL_FAILURE(daemon.start());
    daemon.keepPort();
  }
}

void HaMessages::tellPartition(const std::string& verb, std::size_t member) const {
  const auto [status, said] = daemons_.at(member).ctl(verb + " " + store.serial(member));
  EXPECT_EQ(status, 0) << said;
}

void HaMessages::initialiseAnew(std::size_t member, const std::string& pin) const {
  const Ran ran =
      runCommandLine("softhsm2-util --init-token --serial " + store.serial(member) + " --label " +
                     SoftHsmStore::label(member) + " --so-pin " + store.soPin() + " --pin " + pin + " 2>&1");
  EXPECT_EQ(ran.status, 0) << ran.text;
}

void HaMessages::configure(const std::vector<std::size_t>& members, const std::string& ha, unsigned counter) const {
  const Pki& pki = Pki::theOne();
  std::string serials;
  std::ostringstream servers;
  for (const std::size_t member : members) {
    serials += (serials.empty() ? "" : ", ") + store.serial(member);
    servers << "   ServerName0" << member << " = localhost;\n   ServerPort0" << member << " = "
            << daemons_.at(member).port() << ";\n";
  }
  const std::filesystem::path file = store.folder() / "Chrystoki.conf";
  std::ofstream(file.string() + ".new", std::ios::trunc)
      << "VirtualToken = {\n   VirtualToken00Label = demo;\n   VirtualToken00SN = " << kGroup
      << ";\n   VirtualToken00Members = " << serials << ";\n}\nHASynchronize = {\n   demo = 1;\n}\n"
      << "HAConfiguration = {\n   AutoReconnectInterval = 1;\n   haLogPath = " << (store.folder() / "halog").string()
      << ";\n"
      << ha << "}\nHARecovery = {\n   demo = " << counter << ";\n}\nLunaSA Client = {\n"
      << servers.str() << "   ServerCAFile = " << pki.path("ca.pem")
      << ";\n   ClientCertFile = " << pki.path("alice.pem") << ";\n   ClientPrivKeyFile = "
      << pki.path("alice.key")
      // Who is killed is missed at once; who only is slow must not be.
      << ";\n}\np11ha = {\n   CloningPolicy = user;\n   HeartbeatMisses = 60;\n}\n";
  std::filesystem::rename(file.string() + ".new", file);
}

void HaMessages::initialize() {
  client.f = loadModule(P11HA_BINARY_DIR "/lib/libp11ha.so");
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  initialized_ = true;
  session = client.open(0);
}

void HaMessages::begin() {
  ASSERT_NO_FATAL_FAILURE(initialize());
  ASSERT_EQ(client.login(session), CKR_OK);
  generateTokenKey();
}

void HaMessages::generateTokenKey() {
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  CK_BBOOL yes = CK_TRUE;
  CK_ULONG length = 32;
  // Two that nothing tells apart would be left alone.
  ++keys_;
  CK_ATTRIBUTE wanted[] = {{CKA_TOKEN, &yes, sizeof yes},     {CKA_PRIVATE, &yes, sizeof yes},
                           {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &yes, sizeof yes},
                           {CKA_SIGN, &yes, sizeof yes},      {CKA_VALUE_LEN, &length, sizeof length},
                           {CKA_ID, &keys_, sizeof keys_}};
  ASSERT_EQ(client.f->C_GenerateKey(session, &mechanism, wanted, std::size(wanted), &key_), CKR_OK);
}

CK_RV HaMessages::sign() const {
  CK_MECHANISM mechanism{CKM_AES_CMAC, nullptr, 0};
  CK_BYTE data[16] = {};
  CK_BYTE made[16];
  CK_ULONG length = sizeof made;
  const CK_RV rv = client.f->C_SignInit(session, &mechanism, key_);
  return rv != CKR_OK ? rv : client.f->C_Sign(session, data, sizeof data, made, &length);
}

void HaMessages::expectSigning() const {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(sign(), CKR_OK);
}

void HaMessages::signUntil(const std::string& event, std::size_t member) const {
  const auto signedAndLogged = [&] {
    EXPECT_EQ(sign(), CKR_OK);
    return isLogged(event, member);
  };
  EXPECT_TRUE(tests::await(signedAndLogged, event)) << log();
}

void HaMessages::await(const std::string& event, std::size_t member) const {
  EXPECT_TRUE(tests::await([&] { return isLogged(event, member); }, event)) << log();
}

void HaMessages::finalize() {
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  initialized_ = false;
}

void HaMessages::expectHistoryOf(std::size_t member, const std::vector<ExpectedLine>& expected) const {
  expectHistory(texts(), store.serial(member), expected);
}

void HaMessages::expectGroupHistory(const std::vector<ExpectedLine>& expected) const {
  expectHistory(texts(), {}, expected);
}

std::string HaMessages::log() const {
  std::ifstream in(store.folder() / "halog" / "haErrorLog.txt");
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

std::vector<std::string> HaMessages::texts() const { return haTexts(log(), getpid(), kGroup); }

bool HaMessages::isLogged(const std::string& event, std::size_t member) const {
  return tests::isLogged(log(), haMessage(event), store.serial(member));
}

}  // namespace p11ha::tests
