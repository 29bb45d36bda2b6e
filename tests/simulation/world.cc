#include "tests/simulation/world.h"

#include <algorithm>
#include <set>

#include "halog/format.h"

namespace p11ha::simulation {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using ha::Phase;
using tests::ScriptedMember;

namespace {

constexpr const char* kSerials[] = {"A", "B", "C", "D"};
constexpr std::chrono::seconds kInterval{60};

bool isMembersLine(const halog::Event& line) {
  return !std::holds_alternative<halog::MembersOffline>(line) &&
         !std::holds_alternative<halog::MgmtThreadStart>(line) &&
         !std::holds_alternative<halog::MgmtThreadTerminate>(line) &&
         !std::holds_alternative<halog::ConfiguredAsPassword>(line) &&
         !std::holds_alternative<halog::CallPoisoned>(line) && !std::holds_alternative<halog::AmbiguousObject>(line) &&
         !std::holds_alternative<halog::UnsyncedObject>(line) && !std::holds_alternative<halog::DestroyedApart>(line) &&
         !std::holds_alternative<halog::ChangeGaveWay>(line) &&
         !std::holds_alternative<halog::UnreplicatedObject>(line);
}

}  // namespace

World::World(std::uint64_t seed, ha::Decide decides, std::vector<std::string>* story)
    : story_(story), random_(seed), check_(std::move(decides)) {
  policy_.label = "group";
  policy_.serial = "1154438865287";
  policy_.recovery.interval = kInterval;
  policy_.recovery.jitterSeed = random_.oneIn(2) ? 0 : random_.next();
  const std::int64_t limits[] = {-1, -1, 0, 1, 3};
  policy_.recovery.attempts = limits[random_.below(std::size(limits))];
  policy_.failoverOnDeactivation = !random_.oneIn(4);
  const auto size = 1 + random_.below(std::size(kSerials));
  std::vector<ha::MemberSpec> specs;
  for (unsigned i = 0; i < size; ++i) {
    make();
    const bool isStandby = i != 0 && random_.oneIn(4);
    if (isStandby) standby_.insert(i);
    if (random_.oneIn(10)) become(i, {CKR_TOKEN_NOT_PRESENT, Fate::NotSent});
    specs.push_back({members_.back(), isStandby});
    check_.begin(kSerials[i]);
  }
  log_.onWrite = [this](const halog::Event& line) { tell("log: ", halog::message(line)); };
  check_.onRecovered = [this](const std::string& serial) { recovered(serial); };
  quiet_ = true;
  ha::Ports ports{clock_, scheduler_, workers_, log_, sessions_};
  ports.decide = check_.decide();
  token_ = std::make_unique<ha::VirtualToken>(CK_SLOT_ID{0}, ha::Face::Group, policy_, std::move(specs), ports);
  token_->start();
  workers_.queueing = true;
  for (Client& client : clients_) opens(client);
  quiet_ = false;
}

ScriptedMember& World::make() {
  const auto index = static_cast<unsigned>(members_.size());
  members_.push_back(std::make_shared<ScriptedMember>(kSerials[index]));
  members_.back()->put(tests::privateKey("key"));
  members_.back()->script = [this, index](const Call& call) { return meet(index, call); };
  faults_.emplace_back();
  return *members_.back();
}

World::~World() {
  quiet_ = true;
  workers_.queueing = false;
  token_->stop();
  scheduler_.run();
}

void World::note(const std::string& problem) {
  tell("PROBLEM: ", problem);
  if (problem_.empty()) problem_ = problem;
}

std::optional<std::string> World::problem() const {
  if (!check_.problems().empty()) return check_.problems().front();
  if (!problem_.empty()) return problem_;
  return std::nullopt;
}

void World::run(unsigned steps) {
  for (unsigned i = 0; i < steps && !problem(); ++i) step();
  if (!problem()) settle();
}

void World::step() {
  Client* const client = idleClient();
  switch (random_.below(21)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return signs(*client, false);
    case 4:
    case 5:
      return signs(*client, true);
    case 6:
      return searches(*client);
    case 7:
      return creates(*client);
    case 8:
      return destroys(*client);
    case 9:
      return loggedIn_ && !random_.oneIn(8) ? signs(*client, false) : (loggedIn_ ? logsOut() : logsIn());
    case 10:
      return opens(*client);
    case 11:
    case 12:
      return injure();
    case 13:
      return mend(static_cast<unsigned>(random_.below(members_.size())));
    case 14:
      if (random_.oneIn(4)) token_->recoverNow(static_cast<unsigned>(random_.below(members_.size())));
      return;
    case 15:
      clock_.advance(std::chrono::seconds(random_.below(90)));
      return checkRest();
    case 16:
      if (workers_.queued() != 0) workers_.runQueued(random_.below(workers_.queued()));
      return checkRest();
    case 17:
      scheduler_.runOne();
      return;
    case 18:
      if (random_.oneIn(3)) configures();
      return;
    default:
      while (scheduler_.runOne()) {
      }
      return checkRest();
  }
}

// The configuration file is written anew: members come and go, stand by or no longer, and attempts have another limit.
void World::configures() {
  const std::size_t known = members_.size();
  if (known < std::size(kSerials) && random_.oneIn(4)) make();
  ha::GroupUpdate update{policy_, {}, random_.oneIn(4)};
  std::set<unsigned> standby;
  for (unsigned i = 0; i < members_.size(); ++i) {
    const bool isStandby = random_.oneIn(4);
    if (isStandby) standby.insert(i);
    // A group has one member at least, and a new one is there because it is named.
    const bool isNeeded = i >= known || (i + 1 == members_.size() && update.members.empty());
    if (isNeeded || !random_.oneIn(4)) update.members.push_back({members_[i]->serial(), isStandby, members_[i]});
  }
  if (random_.oneIn(4)) update.policy.recovery.attempts = random_.oneIn(2) ? -1 : 2;
  becomes_ = std::move(standby);
  configure(update);
}

void World::configure(const ha::GroupUpdate& update) {
  policy_ = update.policy;
  std::string named;
  for (const ha::MemberUpdate& member : update.members) named += " " + member.serial + (member.standby ? "*" : "");
  tell("-- configured:", named);
  token_->reconfigure(update);
}

// Everything is mended, and time passes: whoever is not given up comes back, and whoever is asked to.
void World::settle() {
  quiet_ = true;
  const auto rest = [this] {
    for (bool any = true; any;) {
      any = false;
      while (scheduler_.runOne()) any = true;
      while (workers_.queued() != 0) {
        workers_.runQueued(0);
        any = true;
      }
    }
    checkRest();
  };
  for (unsigned i = 0; i < members_.size(); ++i) mend(i);
  ha::GroupUpdate whole{policy_, {}};
  for (unsigned i = 0; i < members_.size(); ++i)
    whole.members.push_back({members_[i]->serial(), (becomes_ ? *becomes_ : standby_).contains(i), members_[i]});
  configure(whole);
  rest();
  const auto pass = [&](int intervals) {
    for (int i = 0; i < 2 * intervals; ++i) {
      clock_.advance(kInterval / 2);
      rest();
    }
  };
  pass(20);
  for (unsigned i = 0; i < members_.size(); ++i) {
    if (phase(i) != Phase::Active && phase(i) != Phase::GivenUp)
      note("member " + members_[i]->serial() + " has not come back by itself");
  }
  // That one was harmed may be noticed only when it is needed, and then with no attempts left.
  for (int round = 0; round < 3; ++round) {
    for (unsigned i = 0; i < members_.size(); ++i) token_->recoverNow(i);
    rest();
    pass(20);
  }
  for (unsigned i = 0; i < members_.size(); ++i) {
    if (phase(i) != Phase::Active)
      note("member " + members_[i]->serial() + " does not come back though it is asked to");
  }
  if (problem()) return;
  if (!loggedIn_) logsIn();
  rest();
  for (std::size_t i = 0; i < 4 * members_.size(); ++i) signs(clients_[i % clients_.size()], false);
  rest();
  // What members were to say is in the log, and nothing else, in that order.
  std::vector<halog::Event> said;
  const std::vector<halog::Event> all = log_.events();
  std::copy_if(all.begin(), all.end(), std::back_inserter(said), isMembersLine);
  const auto [line, expected] = std::mismatch(said.begin(), said.end(), check_.lines().begin(), check_.lines().end());
  if (line != said.end() || expected != check_.lines().end()) {
    note("the log is not what happened: \"" + (line == said.end() ? "" : halog::message(*line)) + "\" instead of \"" +
         (expected == check_.lines().end() ? "" : halog::message(*expected)) + "\"");
  }
  if (log_.count<halog::MembersOffline>() != check_.outages())
    note("that all members are gone is not said once each time");
}

// Nothing is to be done at this moment: whoever is down waits for a time to come.
void World::checkRest() {
  if (depth_ != 0 || scheduler_.runOne()) return;
  if (becomes_) standby_ = *std::exchange(becomes_, std::nullopt);
  std::size_t waiting = 0;
  for (unsigned i = 0; i < members_.size(); ++i) {
    const ha::MemberState state = token_->memberState(i);
    if (state.phase != Phase::Down) continue;
    ++waiting;
    if (!state.nextAttempt || *state.nextAttempt <= clock_.now())
      note("member " + members_[i]->serial() + " waits for nothing");
  }
  // The watchdog has one, too.
  if (scheduler_.timers() < waiting + 1) note("a timer is missing");
  CK_TOKEN_INFO info{};
  if (quiet_ || random_.below(8) != 0) return;
  // Asked for the token, the group asks its primary.
  quiet_ = true;
  std::vector<std::size_t> asked;
  for (const auto& member : members_) asked.push_back(member->count(Fn::GetTokenInfo));
  token_->call(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info));
  quiet_ = false;
  std::optional<unsigned> primary;
  for (const bool isStandby : {false, true}) {
    for (unsigned i = 0; i < members_.size() && !primary; ++i) {
      if (phase(i) == Phase::Active && standby_.contains(i) == isStandby) primary = i;
    }
  }
  for (unsigned i = 0; i < members_.size(); ++i) {
    const bool was = members_[i]->count(Fn::GetTokenInfo) != asked[i];
    // One that is found gone when it is asked hands the question on.
    if (primary && i == *primary && !was) note("the first active member is not the primary");
    if (was && phase(i) != Phase::Active) note("a member that is not active was asked");
  }
}

}  // namespace p11ha::simulation
