// libp11ha.so with a group of members that have a daemon each, and its HA log, line by line.
#pragma once

#include <array>

#include "tests/appliance/appliance.h"
#include "tests/module/failing_fixture.h"
#include "tests/support/ha_lines.h"

namespace p11ha::tests {

/// Three SoftHSM tokens, each behind a p11ha-memberd of its own. At the end of each test, what tests/golden/ names it
/// for must have been logged.
class HaMessages : public testing::Test {
 protected:
  HaMessages();
  ~HaMessages() override;
  void TearDown() override;

  /// All three daemons are configured like that, and started.
  void serve(const ApplianceText& text = {});
  void start(std::size_t member) { daemons_.at(member).start(); }
  std::uint16_t port(std::size_t member) const { return daemons_.at(member).port(); }
  void kill(std::size_t member) { daemons_.at(member).end(SIGKILL); }
  void tellPartition(const std::string& verb, std::size_t member) const;
  /// While its daemon is away: the token is empty then, under the same serial number.
  void initialiseAnew(std::size_t member, const std::string& pin = "12345678") const;
  /// The group's configuration file, also while the group runs: these members, more lines of HAConfiguration, and the
  /// counter of HARecovery.
  void configure(const std::vector<std::size_t>& members, const std::string& ha = {}, unsigned counter = 0) const;

  /// C_Initialize, and a session.
  void initialize();
  /// The same, a login, and a token key.
  void begin();
  /// It is the one to sign with from now on.
  void generateTokenKey();
  CK_RV sign() const;
  /// None may fail: enough for every member to have its turn.
  void expectSigning() const;
  void signUntil(const std::string& event, std::size_t member) const;
  void await(const std::string& event, std::size_t member) const;
  /// C_Finalize, after which the log is complete.
  void finalize();

  /// To be asked at the end: all lines about that member; about none.
  void expectHistoryOf(std::size_t member, const std::vector<ExpectedLine>& expected) const;
  void expectGroupHistory(const std::vector<ExpectedLine>& expected) const;
  std::string log() const;
  /// What the log has behind the prefixes.
  std::vector<std::string> texts() const;

  const SoftHsmStore store{3};
  Client client{nullptr};
  CK_SESSION_HANDLE session = 0;

 private:
  bool isLogged(const std::string& event, std::size_t member) const;
  std::filesystem::path folderOf(std::size_t member) const;

  std::array<Daemon, 3> daemons_{Daemon(folderOf(0)), Daemon(folderOf(1)), Daemon(folderOf(2))};
  CK_OBJECT_HANDLE key_ = 0;
  CK_BYTE keys_ = 0;
  bool initialized_ = false;
};

}  // namespace p11ha::tests
