// The state of a group, as an application asks for it and as other processes see it.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <utility>

#include "compose/status_reader.h"
#include "cryptoki/ha_state.h"
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

// Found by its name, as an application finds it that was made for the Luna HA client.
CK_CA_GetHAState getHaState() {
  void* const library = dlopen(kGroupModule.c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  return reinterpret_cast<CK_CA_GetHAState>(dlsym(library, "CA_GetHAState"));
}

std::string textOf(const CK_CHAR (&field)[20]) {
  EXPECT_NE(std::memchr(field, 0, sizeof field), nullptr);
  return reinterpret_cast<const char*>(field);
}

class GroupState : public WorkingGroup {
 protected:
  CK_HA_STATUS state() const {
    CK_HA_STATUS found;
    std::memset(&found, 0xAA, sizeof found);
    EXPECT_EQ(getHaState()(0, &found), CKR_OK);
    return found;
  }
  CK_RV statusOf(std::size_t index) const { return state().memberList[index].memberStatus; }
};

TEST_F(GroupState, NamesTheGroupAndItsMembersInTheirOrder) {
  const CK_HA_STATUS found = state();
  EXPECT_EQ(textOf(found.groupSerial), "1000");
  ASSERT_EQ(found.listSize, 3U);
  for (std::size_t i = 0; i < std::size(found.memberList); ++i) {
    EXPECT_EQ(textOf(found.memberList[i].memberSerial), i < 3 ? store.serial(i) : "");
    EXPECT_EQ(found.memberList[i].memberStatus, CKR_OK);
  }
}

TEST_F(GroupState, SaysWhichMemberIsLostAndWhenItIsBack) {
  tell("fail " + member(1) + " * CKR_DEVICE_ERROR");
  await(
      [&] {
        EXPECT_EQ(client.random(session), CKR_OK);
        return statusOf(1) == CKR_DEVICE_ERROR;
      },
      "the member to be lost");
  EXPECT_EQ(statusOf(0), CKR_OK);
  EXPECT_EQ(statusOf(2), CKR_OK);
  EXPECT_EQ(state().listSize, 3U);
  tell("heal " + member(1));
  await([&] { return statusOf(1) == CKR_OK; }, "the member to be back");
}

TEST_F(GroupState, RefusesWhatItCannotAnswer) {
  CK_HA_STATUS found;
  const CK_CA_GetHAState ask = getHaState();
  EXPECT_EQ(ask(0, nullptr), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(ask(1, &found), CKR_SLOT_ID_INVALID);
  EXPECT_EQ(ask(CK_SLOT_ID(-1), &found), CKR_SLOT_ID_INVALID);
  ASSERT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(ask(0, &found), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(ask(0, nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
}

TEST_F(GroupTest, HasNoStateOnTheSlotsOfMembers) {
  configure(configuration(theGroup(), "   HAOnly = 0;\n", theModule()));
  ASSERT_EQ(module()->C_Initialize(nullptr), CKR_OK);
  const CK_CA_GetHAState ask = getHaState();
  std::vector<CK_RV> answers;
  for (CK_SLOT_ID slot = 0; slot < 5; ++slot) {
    CK_HA_STATUS found;
    answers.push_back(ask(slot, &found));
  }
  const CK_RV no = CKR_FUNCTION_NOT_SUPPORTED;
  EXPECT_EQ(answers, (std::vector<CK_RV>{no, no, no, CKR_OK, CKR_SLOT_ID_INVALID}));
}

// A process with a group of its own, which does what it is told.
class Process {
 public:
  explicit Process(const std::function<bool(char)>& obey) {
    int toIt[2];
    int fromIt[2];
    if (pipe(toIt) != 0 || pipe(fromIt) != 0) std::abort();
    pid = fork();
    if (pid == 0) {
      close(toIt[1]);
      close(fromIt[0]);
      char order = 0;
      while (read(toIt[0], &order, 1) == 1) {
        const char done = obey(order) && !testing::Test::HasFailure() ? 'y' : 'n';
        if (write(fromIt[1], &done, 1) != 1) break;
      }
      _exit(0);
    }
    close(toIt[0]);
    close(fromIt[1]);
    orders_ = toIt[1];
    answers_ = fromIt[0];
  }
  ~Process() {
    kill();
    close(orders_);
    close(answers_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool obeys(char order) const {
    char done = 'n';
    return write(orders_, &order, 1) == 1 && read(answers_, &done, 1) == 1 && done == 'y';
  }
  /// SIGKILL.
  void kill() {
    if (std::exchange(killed_, true)) return;
    ::kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }

  pid_t pid = -1;

 private:
  int orders_ = -1;
  int answers_ = -1;
  bool killed_ = false;
};

constexpr char kBegin = 'b';
constexpr char kUse = 'u';
constexpr char kEnd = 'e';
constexpr char kFork = 'f';  // its child begins by itself, and ends
constexpr char kExit = 'x';

// Nothing is loaded in the process of the test.
class StatusFileOfGroup : public GroupTest {
 protected:
  StatusFileOfGroup() {
    std::filesystem::create_directory(directory);
    configure(configuration(theGroup(), "   HAOnly = 1;\n", theModule() + "   StatusPath = " + directory + ";\n"));
  }

  bool obey(char order) {
    static Client its{nullptr};
    static CK_SESSION_HANDLE session = 0;
    switch (order) {
      case kBegin:
        its.f = loadModule(kGroupModule);
        if (its.f->C_Initialize(nullptr) != CKR_OK) return false;
        session = its.open(0);
        return its.login(session) == CKR_OK;
      case kUse:
        return its.random(session) == CKR_OK;
      case kEnd:
        return its.f->C_Finalize(nullptr) == CKR_OK;
      case kFork:
        return forked(its);
      case kExit:
        std::exit(0);
      default:
        return false;
    }
  }
  // A child of fork, which writes a file of its own or none.
  bool forked(const Client& inherited) {
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
      bool well = on(parent).has_value() && !on(getpid());
      well = well && inherited.f->C_Initialize(nullptr) == CKR_OK;
      well = well && await([&] { return on(getpid()).has_value(); }, "the child's own file");
      well = well && on(parent).has_value();
      well = well && inherited.f->C_Finalize(nullptr) == CKR_OK && !on(getpid()) && on(parent).has_value();
      _exit(well ? 0 : 1);
    }
    int status = -1;
    return waitpid(child, &status, 0) == child && status == 0;
  }
  std::function<bool(char)> obeying() {
    return [this](char order) { return obey(order); };
  }

  std::vector<compose::ProcessReport> all() const { return compose::StatusReader(directory).read(); }
  std::optional<compose::ProcessReport> on(pid_t pid) const {
    for (const compose::ProcessReport& each : all()) {
      if (each.pid == pid) return each;
    }
    return std::nullopt;
  }
  /// What a process says of a member.
  compose::MemberReport of(const Process& process, std::size_t index) const {
    const auto report = on(process.pid);
    return report && !report->groups.empty() ? report->groups[0].members.at(index) : compose::MemberReport{};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }
  static std::vector<std::string> filesOf(const Process& process) {
    return {compose::metricsFileName(process.pid), compose::statusFileName(process.pid)};
  }

  const std::string directory = (store.folder() / "status").string();
};

TEST_F(StatusFileOfGroup, TellsOtherProcessesHowItIs) {
  Process process(obeying());
  ASSERT_TRUE(process.obeys(kBegin));
  await([&] { return on(process.pid).has_value(); }, "the file");
  const auto report = on(process.pid);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->program, "module-tests");
  ASSERT_EQ(report->groups.size(), 1U);
  EXPECT_EQ(report->groups[0].label, "demo");
  EXPECT_EQ(report->groups[0].serial, "1000");
  ASSERT_EQ(report->groups[0].members.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(of(process, i).serial, store.serial(i));
    EXPECT_EQ(of(process, i).state, "active");
    EXPECT_TRUE(of(process, i).serves);
  }

  tell("fail " + member(1) + " * CKR_DEVICE_ERROR");
  await(
      [&] {
        EXPECT_TRUE(process.obeys(kUse));
        return of(process, 1).state == "down" || of(process, 1).state == "recovering";
      },
      "the file to say that the member is lost");
  await([&] { return of(process, 1).attempts >= 2; }, "attempts to be counted");
  const compose::MemberReport lost = of(process, 1);
  EXPECT_FALSE(lost.serves);
  EXPECT_EQ(lost.cause, "dropped");
  EXPECT_EQ(lost.lastError, "CKR_DEVICE_ERROR");
  EXPECT_EQ(lost.failovers, 1U);
  EXPECT_TRUE(of(process, 0).serves);

  tell("heal " + member(1));
  await([&] { return of(process, 1).state == "active"; }, "the file to say that it is back");
  EXPECT_GT(of(process, 1).since, lost.since);
  const std::uint64_t before = of(process, 0).calls;
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(process.obeys(kUse));
  await([&] { return of(process, 0).calls >= before + 10; }, "calls to be counted");

  EXPECT_TRUE(process.obeys(kEnd));
  EXPECT_TRUE(names().empty());
  EXPECT_TRUE(process.obeys(kBegin));
  await([&] { return on(process.pid).has_value(); }, "the file to be there again");
  EXPECT_FALSE(process.obeys(kExit));
  await([&] { return names().empty(); }, "the file to go with the process");
}

TEST_F(StatusFileOfGroup, IsClearedAwayAfterOneThatWasKilled) {
  Process first(obeying());
  ASSERT_TRUE(first.obeys(kBegin));
  await([&] { return on(first.pid).has_value(); }, "the file");
  first.kill();
  EXPECT_THAT(names(), testing::Contains(compose::statusFileName(first.pid)));
  EXPECT_TRUE(all().empty()) << "a reader is not taken in by it";
  Process second(obeying());
  ASSERT_TRUE(second.obeys(kBegin));
  await([&] { return on(second.pid).has_value(); }, "the file of the next");
  await([&] { return names() == filesOf(second); }, "nothing else to be there");
}

TEST_F(StatusFileOfGroup, IsNotWrittenByAForkedChild) {
  Process process(obeying());
  ASSERT_TRUE(process.obeys(kBegin));
  await([&] { return on(process.pid).has_value(); }, "the file");
  EXPECT_TRUE(process.obeys(kFork));
  EXPECT_TRUE(process.obeys(kUse));
  await([&] { return names() == filesOf(process); }, "only its files to be there");
}

TEST_F(StatusFileOfGroup, CostsNoCallWhereItCannotBeWritten) {
  std::filesystem::remove(directory);
  Process process(obeying());
  ASSERT_TRUE(process.obeys(kBegin));
  EXPECT_TRUE(process.obeys(kUse));
  std::filesystem::create_directory(directory);
  await([&] { return on(process.pid).has_value(); }, "the file, once there is a place for it");
  EXPECT_TRUE(process.obeys(kEnd));
}

}  // namespace
}  // namespace p11ha::tests
