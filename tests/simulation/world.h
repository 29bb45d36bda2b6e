// A group of scripted members to which anything may happen, one thing after another, as drawn from a seed.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "ha/virtual_token.h"
#include "tests/simulation/transition_check.h"
#include "tests/support/manual_scheduler.h"
#include "tests/support/random.h"
#include "tests/support/recording_sink.h"
#include "tests/support/scripted_member.h"

namespace p11ha::simulation {

/// Things that happen in a schedule.
inline constexpr unsigned kSteps = 80;
/// The user's, on every member.
inline constexpr const char* kPin = "sesame";
/// What the application's data begin with.
inline constexpr std::string_view kOurs = "data ";

/// One schedule: the same seed makes the same one. One thread.
class World {
 public:
  /// `story`: told line by line; null: nobody.
  World(std::uint64_t seed, ha::Decide decides, std::vector<std::string>* story = nullptr);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Lets so many things happen, then has everything mended and looks whether all comes back.
  void run(unsigned steps);

  /// What did not hold, first of all; nothing: everything did.
  std::optional<std::string> problem() const;
  std::uint64_t trace() const { return check_.trace(); }

 private:
  using Members = std::vector<std::shared_ptr<tests::ScriptedMember>>;
  // What was done to a member.
  struct Fault {
    bool sound = true;      // nothing was, since it became active
    unsigned injuries = 0;  // in all
    unsigned known = 0;     // of them, before its recovery began
    bool deactivated = false;
    unsigned callsLeft = 0;  // until the next fault; 0: none is set
    bool afterEffect = false;
    cryptoki::Outcome outcome;
  };
  // One of the application's sessions.
  struct Client {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    bool busy = false;  // a call on it runs
  };

  void step();
  void settle();
  void checkRest();

  std::optional<cryptoki::Outcome> meet(unsigned member, const cryptoki::Call& call);
  void meanwhile(const cryptoki::Call& call);
  void recovered(const std::string& serial);
  void injured(unsigned member);
  void become(unsigned member, const cryptoki::Outcome& outcome);
  void injure();
  void mend(unsigned member);

  tests::ScriptedMember& make();
  void configures();
  void configure(const ha::GroupUpdate& update);

  CK_RV call(Client& client, cryptoki::Call made);
  void judge(CK_RV rv, const std::vector<bool>& soundBefore, std::size_t poisonedBefore, const char* what);
  std::vector<bool> soundMembers() const;
  template <class Made>
  void judged(const char* what, Made&& made);

  Client* idleClient();
  void signs(Client& client, bool inParts);
  void searches(Client& client);
  void creates(Client& client);
  void destroys(Client& client);
  void logsIn();
  void logsOut();
  void opens(Client& client);
  CK_RV find(Client& client, const std::string& label, CK_OBJECT_HANDLE& found);

  void note(const std::string& problem);
  template <class... Parts>
  void tell(const Parts&... parts);
  ha::Phase phase(unsigned member) const { return token_->memberState(member).phase; }
  std::size_t poisoned() const;

  std::vector<std::string>* const story_;
  tests::Random random_;
  tests::ManualClock clock_;
  tests::ManualScheduler scheduler_{clock_};
  tests::InlineWorkers workers_;
  tests::RecordingSink log_;
  ha::SessionTable sessions_;
  TransitionCheck check_;
  ha::GroupPolicy policy_;
  Members members_;
  std::vector<Fault> faults_;
  std::set<unsigned> standby_;                 // as it is configured
  std::optional<std::set<unsigned>> becomes_;  // once Management has read the configuration again
  std::unique_ptr<ha::VirtualToken> token_;

  std::vector<Client> clients_{3};
  bool loggedIn_ = false;
  std::vector<std::string> made_;  // labels of objects that were made and not destroyed
  unsigned labels_ = 0;
  unsigned depth_ = 0;  // of the application's calls within one another
  bool creating_ = false;
  bool quiet_ = false;  // nothing happens by itself
  std::string problem_;
};

template <class... Parts>
void World::tell(const Parts&... parts) {
  if (story_ == nullptr) return;
  std::ostringstream line;
  line << std::string(2 * depth_, ' ');
  (line << ... << parts);
  story_->push_back(line.str());
}

}  // namespace p11ha::simulation
