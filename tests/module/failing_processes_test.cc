// Failing modules in several processes, and several in one.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "tests/module/failing_fixture.h"
#include "tests/support/asked_process.h"
#include "tests/support/program.h"

namespace p11ha::tests {
namespace {

// Any request: initialises at first.
class OtherProcess : public AskedProcess {
 public:
  explicit OtherProcess(const std::string& serial)
      : AskedProcess([serial]() -> Call {
          const Client client(loadModule(kFailingModule));
          const CK_RV begun = client.f->C_Initialize(nullptr);
          const CK_SESSION_HANDLE session = client.open(client.slotOf(serial));
          return [=] { return begun == CKR_OK ? client.random(session) : begun; };
        }) {}

  CK_RV random() const { return ask(); }
};

class FailingProcesses : public FailingModuleTest {
 protected:
  std::size_t sockets() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(control)) {
      if (entry.path().extension() == ".sock") ++count;
    }
    return count;
  }
};

Ran runFailctl(const std::string& arguments) {
  return runCommandLine(P11HA_BINARY_DIR "/bin/p11ha-failctl " + arguments + " 2>&1");
}

TEST_F(FailingProcesses, ARuleHoldsInAllOfThemAndInThoseThatStartLater) {
  const OtherProcess first(store.serial(0));
  const OtherProcess second(store.serial(0));
  const OtherProcess late(store.serial(0));
  EXPECT_EQ(first.random(), CKR_OK);
  EXPECT_EQ(second.random(), CKR_OK);
  EXPECT_EQ(sockets(), 2U);
  tell("fail " + it() + " C_GenerateRandom CKR_DEVICE_ERROR");
  EXPECT_EQ(first.random(), CKR_DEVICE_ERROR);
  EXPECT_EQ(second.random(), CKR_DEVICE_ERROR);
  EXPECT_EQ(late.random(), CKR_DEVICE_ERROR);
  tell("heal");
  EXPECT_EQ(first.random(), CKR_OK);
  EXPECT_EQ(second.random(), CKR_OK);
  EXPECT_EQ(late.random(), CKR_OK);
  EXPECT_NE(tell("stats " + it()).find("C_GenerateRandom 5\n"), std::string::npos);
}

TEST_F(FailingProcesses, OneThatEndedIsForgotten) {
  { EXPECT_EQ(OtherProcess(store.serial(0)).random(), CKR_OK); }
  EXPECT_EQ(sockets(), 1U) << "it left its socket behind";
  tell("heal");
  EXPECT_EQ(sockets(), 0U);
}

TEST_F(FailingProcesses, OneThatDoesNotAnswerIsNamed) {
  const OtherProcess process(store.serial(0));
  EXPECT_EQ(process.random(), CKR_OK);
  kill(process.pid(), SIGSTOP);
  ASSERT_EQ(waitpid(process.pid(), nullptr, WUNTRACED), process.pid()) << "it stops when it gets round to it";
  const auto result =
      testbed::runCommand(control, "fail " + it() + " * CKR_DEVICE_ERROR", std::chrono::milliseconds(50));
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.error, "process " + std::to_string(process.pid()) + ": does not answer");
  kill(process.pid(), SIGCONT);
  tell("rules");
  tell("fail " + it() + " * CKR_DEVICE_ERROR");
  EXPECT_EQ(process.random(), CKR_DEVICE_ERROR);
}

TEST_F(FailingProcesses, AForkedChildInitialisesForItself) {
  const Client client(loadModule(kFailingModule));
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  ASSERT_EQ(client.random(client.open(client.slotOf(store.serial(0)))), CKR_OK);
  const pid_t child = fork();
  if (child == 0) {
    if (client.f->C_Finalize(nullptr) != CKR_CRYPTOKI_NOT_INITIALIZED) _exit(1);
    if (client.f->C_Initialize(nullptr) != CKR_OK) _exit(2);
    if (sockets() != 2) _exit(3);
    if (testbed::runCommand(control, "fail " + it() + " C_GenerateRandom CKR_DEVICE_ERROR").status != 0) _exit(4);
    if (client.random(client.open(client.slotOf(store.serial(0)))) != CKR_DEVICE_ERROR) _exit(5);
    _exit(client.f->C_Finalize(nullptr) == CKR_OK ? 0 : 6);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "exit " << WEXITSTATUS(status);
  EXPECT_EQ(client.random(client.open(client.slotOf(store.serial(0)))), CKR_DEVICE_ERROR);
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(sockets(), 0U);
}

TEST_F(FailingProcesses, TwoCopiesInOneProcessWrapTheirOwnModules) {
  std::vector<Client> clients;
  for (const std::string name : {"a", "b"}) {
    const auto copy = store.folder() / (name + ".so");
    const auto wrapped = store.folder() / (name + "-softhsm.so");
    std::filesystem::copy_file(kFailingModule, copy);
    std::filesystem::copy_file(kSoftHsmModule, wrapped);
    std::ofstream(copy.string() + ".wraps") << wrapped.string() << '\n';
    clients.emplace_back(loadModule(copy.string()));
    ASSERT_EQ(clients.back().f->C_Initialize(nullptr), CKR_OK);
  }
  EXPECT_EQ(sockets(), 2U);
  const CK_SESSION_HANDLE session = clients[1].open(clients[1].slotOf(store.serial(0)));
  tell("fail " + it() + " C_GenerateRandom CKR_DEVICE_ERROR");
  EXPECT_EQ(clients[1].random(session), CKR_DEVICE_ERROR);
  tell("heal");
  EXPECT_EQ(clients[0].f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(clients[1].random(session), CKR_OK) << "each has a SoftHSM of its own";
  EXPECT_EQ(clients[1].f->C_Finalize(nullptr), CKR_OK);
}

TEST_F(FailingProcesses, WithoutControlItOnlyPassesOn) {
  unsetenv("P11HA_FAILING_CONTROL");
  const Client client(loadModule(kFailingModule));
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(client.random(client.open(client.slotOf(store.serial(0)))), CKR_OK);
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  EXPECT_TRUE(std::filesystem::is_empty(control));
}

TEST_F(FailingProcesses, WhatItCannotLoadOrReadFailsInitialize) {
  const auto copy = store.folder() / "copy.so";  // one that has not loaded what it wraps
  std::filesystem::copy_file(kFailingModule, copy);
  const Client client(loadModule(copy.string()));
  setenv("P11HA_FAILING_MODULE", "/nonexistent.so", 1);
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_GENERAL_ERROR);
  unsetenv("P11HA_FAILING_MODULE");
  std::ofstream(control + "/rules") << "nonsense\n";
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_GENERAL_ERROR);
  setenv("P11HA_FAILING_CONTROL", (control + "/missing").c_str(), 1);
  EXPECT_EQ(client.f->C_Initialize(nullptr), CKR_GENERAL_ERROR);
}

TEST_F(FailingProcesses, TheProgramSaysWhatIsWrong) {
  EXPECT_EQ(runFailctl("").status, 2);
  EXPECT_EQ(runFailctl("--help").status, 0);
  EXPECT_EQ(runFailctl(control + " fail serial:x C_Nonsense CKR_OK").status, 2);
  EXPECT_NE(runFailctl(control + " fail serial:x '*' CKR_NONSENSE").text.find("\"CKR_NONSENSE\" is no return code"),
            std::string::npos);
  EXPECT_EQ(runFailctl(control + "/missing heal").status, 1);
  EXPECT_EQ(runFailctl(control + " fail serial:x '*' CKR_DEVICE_ERROR").text, "");
  EXPECT_EQ(runFailctl(control + " rules").text, "fail serial:x * CKR_DEVICE_ERROR\n");
  EXPECT_EQ(runFailctl(control + " heal serial:x").status, 0);
  EXPECT_EQ(runFailctl(control + " rules").text, "");
}

}  // namespace
}  // namespace p11ha::tests
