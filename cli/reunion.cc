#include "cli/reunion.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>

#include "base/mutex.h"
#include "cli/pause.h"
#include "cryptoki/return_codes.h"
#include "ha/notes/on_member.h"
#include "ha/virtual_token.h"
#include "halog/format.h"

namespace p11ha::cli {

using base::Failure;
using cryptoki::Fn;
using cryptoki::makeCall;

namespace {

// Keeps what the group says of objects, and of what it waits for.
class Remarks final : public halog::Sink {
 public:
  void write(std::string_view, const halog::Event& event) noexcept override {
    base::Lock lock(mutex_);
    const std::string text = halog::message(event);
    constexpr std::string_view kOwn = "p11ha: ";
    if (!text.starts_with(kOwn)) return;
    (std::holds_alternative<halog::TurnAwaited>(event) ? waits_ : remarks_).push_back(text.substr(kOwn.size()));
  }

  std::vector<std::string> remarks() const {
    base::Lock lock(mutex_);
    return remarks_;
  }
  /// Those since it was asked last.
  std::vector<std::string> waits() {
    base::Lock lock(mutex_);
    return std::exchange(waits_, {});
  }

 private:
  mutable base::Mutex mutex_;
  std::vector<std::string> remarks_ P11HA_GUARDED_BY(mutex_);
  std::vector<std::string> waits_ P11HA_GUARDED_BY(mutex_);
};

std::span<const CK_ATTRIBUTE> templateOf(const cryptoki::Call& call) {
  if (call.fn == Fn::CreateObject) return {call.get<const CK_ATTRIBUTE*>(1), call.get<CK_ULONG>(2)};
  if (call.fn == Fn::UnwrapKey) return {call.get<const CK_ATTRIBUTE*>(5), call.get<CK_ULONG>(6)};
  return {};
}

// It puts an object of the applications on the token: not what p11ha keeps there for itself, nor what it needs
// meanwhile.
bool copies(const cryptoki::Call& call) {
  bool lasts = false;
  for (const CK_ATTRIBUTE& attribute : templateOf(call)) {
    const std::span value(static_cast<const std::uint8_t*>(attribute.pValue), attribute.ulValueLen);
    if (attribute.type == CKA_TOKEN) lasts = !value.empty() && value.front() != CK_FALSE;
    if (attribute.type == CKA_APPLICATION && ha::notes::isOurs(value)) return false;
  }
  return lasts;
}

// Counts the objects that are copied to a member.
class CountedMember final : public cryptoki::Member {
 public:
  explicit CountedMember(std::shared_ptr<cryptoki::Member> member) : member_(std::move(member)) {}

  std::size_t copied() const { return copied_.load(); }

  const std::string& serial() const override { return member_->serial(); }
  CK_RV attach() override { return member_->attach(); }
  std::string problem() const override { return member_->problem(); }
  cryptoki::Standing standing() const override { return member_->standing(); }
  cryptoki::Outcome execute(const cryptoki::Call& call) override {
    const cryptoki::Outcome outcome = member_->execute(call);
    if (outcome.rv == CKR_OK && copies(call)) copied_.fetch_add(1);
    return outcome;
  }

 private:
  const std::shared_ptr<cryptoki::Member> member_;
  std::atomic<std::size_t> copied_{0};
};

// Of so many objects, on a line that is written over; nothing where nobody sees it.
class ProgressBar {
 public:
  ProgressBar(Console& console, std::size_t total) : console_(console), total_(console.showsProgress() ? total : 0) {}

  // More may be copied than was missing at first: applications go on.
  void show(std::size_t copied) {
    const std::size_t done = std::min(copied, total_);
    if (total_ == 0 || done == shown_) return;
    constexpr std::size_t kWidth = 40;
    std::string bar(kWidth * done / total_, '#');
    bar.resize(kWidth, ' ');
    console_.note("\r        [" + bar + "] " + std::to_string(done) + " of " + std::to_string(total_) + " objects");
    shown_ = done;
  }
  void end() {
    if (shown_) console_.note("\n");
    shown_.reset();
  }
  // On a line of its own.
  void note(const std::string& text) {
    end();
    console_.note(text + "\n");
  }

 private:
  Console& console_;
  const std::size_t total_;
  std::optional<std::size_t> shown_;  // nullopt: there is no bar on the line
};

// A group in this process, for as long as it takes. The order of its parts is that in which they must live.
class Run {
 public:
  Run(ha::GroupPolicy policy, const std::vector<const Token*>& members, ProgressBar& bar)
      : policy_(std::move(policy)), bar_(bar) {
    for (const Token* const member : members) members_.push_back(std::make_shared<CountedMember>(member->member));
  }
  ~Run() {
    if (!token_) return;
    token_->endWaiting();
    token_->stop();
    scheduler_.stop();
    while (!workers_.drain(clock_.now() + std::chrono::seconds(1))) {
    }
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  CK_RV begin(const base::SecureBytes& pin) {
    token_ = std::make_unique<ha::VirtualToken>(CK_SLOT_ID{0}, ha::Face::Group, policy_,
                                                std::vector<ha::MemberSpec>{{members_.front(), false}},
                                                ha::Ports{clock_, scheduler_, workers_, log_, sessions_});
    token_->start();
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    const CK_RV opened = token_->call(makeCall<Fn::OpenSession>(
        CK_SLOT_ID{0}, CK_FLAGS{CKF_RW_SESSION | CKF_SERIAL_SESSION}, nullptr, nullptr, &handle));
    return opened == CKR_OK ? logIn(handle, pin) : opened;
  }

  // One after another: what each brings along is known before the next is given what it lacks. Whoever fails at it is
  // not tried again. False: it was interrupted.
  bool joinAll() {
    ha::GroupUpdate update{policy_, {}, false, {}};
    for (const auto& member : members_) {
      update.members.push_back({member->serial(), false, member});
      token_->reconfigure(update);
      do {
        turn();
        drain();
      } while (!haveJoined(update.members.size()));
      // A member that has joined settles on a worker; the scheduler begins that.
      turn();
      drain();
      if (isCutOff_) return false;
    }
    return true;
  }

  ha::GroupStatus status() const { return token_->status(); }
  /// On that one of the members, in their order.
  std::size_t copied(std::size_t index) const { return members_[index]->copied(); }
  const Remarks& log() const { return log_; }

 private:
  CK_RV logIn(CK_SESSION_HANDLE handle, const base::SecureBytes& pin) P11HA_NO_THREAD_SAFETY_ANALYSIS {
    ha::Session* const session = sessions_.lock(handle);
    if (session == nullptr) return CKR_SESSION_HANDLE_INVALID;
    base::SecureBytes given = pin;  // C_Login's is not constant
    cryptoki::Call login = makeCall<Fn::Login>(handle, CK_USER_TYPE{CKU_USER}, given.data(), given.size());
    const CK_RV rv = token_->call(*session, login);
    sessions_.unlock(*session);
    return rv;
  }

  // So many have joined, or failed at their first attempt.
  bool haveJoined(std::size_t count) const {
    const ha::GroupStatus now = status();
    return count == static_cast<std::size_t>(
                        std::count_if(now.members.begin(), now.members.end(), [](const ha::MemberStatus& member) {
                          const ha::MemberState& state = member.state;
                          return state.phase == ha::Phase::Active || state.phase == ha::Phase::GivenUp ||
                                 (state.phase == ha::Phase::Down && state.attempts > 0);
                        }));
  }

  // Waits until what was posted to the scheduler so far has run.
  void turn() {
    const auto ran = std::make_shared<std::promise<void>>();
    scheduler_.post([ran] { ran->set_value(); });
    ran->get_future().wait();
  }

  void drain() {
    while (!workers_.drain(clock_.now() + std::chrono::milliseconds(100))) lookUp();
    lookUp();
  }

  void lookUp() {
    for (const std::string& wait : log_.waits()) bar_.note(wait);
    showProgress();
    if (isCutOff_ || !Interruptible::happened()) return;
    isCutOff_ = true;
    bar_.note("interrupted: it ends after the object that it is at; another ^C ends it at once");
    token_->endWaiting();
  }

  void showProgress() {
    std::size_t copied = 0;
    for (const auto& member : members_) copied += member->copied();
    bar_.show(copied);
  }

  const ha::GroupPolicy policy_;
  ProgressBar& bar_;
  std::vector<std::shared_ptr<CountedMember>> members_;
  base::SystemClock clock_;
  Remarks log_;
  ha::SessionTable sessions_;
  base::ThreadWorkers workers_;
  base::ThreadScheduler scheduler_;
  std::unique_ptr<ha::VirtualToken> token_;
  bool isCutOff_ = false;
};

}  // namespace

base::Result<Reunion, Trouble> reunite(const config::Group& group, const config::Settings& settings,
                                       const Tokens& tokens, const base::SecureBytes& pin, std::size_t missing,
                                       Console& console) {
  std::vector<const Token*> members = membersOf(group, tokens);
  std::erase_if(members, [](const Token* token) { return token == nullptr || !token->isThere(); });
  if (members.empty()) {
    return Failure{Trouble{CKR_TOKEN_NOT_PRESENT, "no member of group " + group.label + " can be reached",
                           "Try again once some are there."}};
  }
  ha::GroupPolicy policy = compose::policyOf(group, settings, 0);
  policy.synchronize = true;
  policy.recoveryMode = ha::RecoveryMode::Enhanced;
  policy.recovery = {1, std::chrono::seconds(1), 0};
  const Interruptible interruptible(Interruptible::Second::Ends);
  ProgressBar bar(console, missing);
  Run run(policy, members, bar);
  console.note("synchronizing, members: " + std::to_string(members.size()) + "\n");
  if (const CK_RV rv = run.begin(pin); rv != CKR_OK) {
    return Failure{Trouble{rv,
                           "member " + members.front()->serial() + ": C_Login answers " + cryptoki::returnCodeName(rv),
                           "Nothing was copied."}};
  }
  const bool isWhole = run.joinAll();
  bar.end();
  if (!isWhole) return Failure{interrupted("What was copied stays; the next `hagroup synchronize` does the rest.")};
  Reunion reunion{{}, run.log().remarks()};
  const ha::GroupStatus status = run.status();
  for (std::size_t i = 0; i < status.members.size(); ++i) {
    const ha::MemberStatus& member = status.members[i];
    const bool joined = member.state.phase == ha::Phase::Active;
    const CK_RV rv = joined ? CKR_OK : member.state.lastError == CKR_OK ? CKR_DEVICE_ERROR : member.state.lastError;
    reunion.members.push_back({member.serial, rv, run.copied(i)});
  }
  return reunion;
}

}  // namespace p11ha::cli
