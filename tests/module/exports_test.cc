// What an application sees of each of our modules before it does anything.
#include <sys/wait.h>
#include <unistd.h>

#include <ostream>
#include <set>
#include <sstream>

#include "cryptoki/function.h"
#include "tests/module/group_fixture.h"
#include "tests/support/program.h"

namespace p11ha::tests {
namespace {

struct Module {
  const char* name;
  const std::string& path;
  CK_FLAGS flags;
  std::set<std::string> beside;  // exported beside the standard's functions
  friend void PrintTo(const Module& module, std::ostream* out) { *out << module.name; }
};

class Exports : public testing::TestWithParam<Module> {
 protected:
  template <class Function>
  static Function exported(const char* name) {
    void* library = dlopen(GetParam().path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    return library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, name));
  }
};

TEST_P(Exports, AreTheFunctionsAndNothingElse) {
  const Ran nm = runCommandLine("nm -D --defined-only --format=posix '" + GetParam().path + "'");
  ASSERT_EQ(nm.status, 0);
  std::set<std::string> found;
  std::istringstream symbols(nm.text);
  for (std::string line; std::getline(symbols, line);) found.insert(line.substr(0, line.find(' ')));
  std::set<std::string> expected;
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    expected.emplace(cryptoki::function(static_cast<cryptoki::Fn>(i)).name);
  }
  EXPECT_EQ(expected.size(), 92U);
  expected.insert(GetParam().beside.begin(), GetParam().beside.end());
  EXPECT_EQ(found, expected);
}

TEST_P(Exports, ListBothInterfaces) {
  const auto getList = exported<CK_C_GetInterfaceList>("C_GetInterfaceList");
  ASSERT_NE(getList, nullptr);
  CK_ULONG count = 0;
  EXPECT_EQ(getList(nullptr, nullptr), CKR_ARGUMENTS_BAD);
  ASSERT_EQ(getList(nullptr, &count), CKR_OK);
  ASSERT_EQ(count, 2U);
  CK_INTERFACE interfaces[2];
  count = 1;
  EXPECT_EQ(getList(interfaces, &count), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, 2U);
  ASSERT_EQ(getList(interfaces, &count), CKR_OK);

  const auto getInterface = exported<CK_C_GetInterface>("C_GetInterface");
  ASSERT_NE(getInterface, nullptr);
  for (CK_INTERFACE& offered : interfaces) {
    EXPECT_STREQ(reinterpret_cast<const char*>(offered.pInterfaceName), "PKCS 11");
    EXPECT_EQ(offered.flags, GetParam().flags);
    auto* version = static_cast<CK_VERSION*>(offered.pFunctionList);
    CK_INTERFACE_PTR same = nullptr;
    ASSERT_EQ(getInterface(offered.pInterfaceName, version, &same, offered.flags), CKR_OK);
    EXPECT_EQ(same->pFunctionList, offered.pFunctionList);
  }
}

TEST_P(Exports, GiveAnInterfaceThatFitsOrNone) {
  const auto getInterface = exported<CK_C_GetInterface>("C_GetInterface");
  ASSERT_NE(getInterface, nullptr);
  CK_INTERFACE_PTR any = nullptr;
  ASSERT_EQ(getInterface(nullptr, nullptr, &any, 0), CKR_OK);
  EXPECT_EQ(static_cast<CK_VERSION*>(any->pFunctionList)->major, 3) << "the newest, when none is named";
  CK_VERSION unknown{9, 9};
  EXPECT_EQ(getInterface(nullptr, &unknown, &any, 0), CKR_ARGUMENTS_BAD);
  CK_UTF8CHAR vendor[] = "Vendor";
  EXPECT_EQ(getInterface(vendor, nullptr, &any, 0), CKR_ARGUMENTS_BAD);
  constexpr CK_FLAGS kOfNoInterface = CK_FLAGS{1} << 31U;
  EXPECT_EQ(getInterface(nullptr, nullptr, &any, kOfNoInterface), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(getInterface(nullptr, nullptr, nullptr, 0), CKR_ARGUMENTS_BAD);
}

TEST_P(Exports, GiveTheOldListToWhoKnowsNoInterfaces) {
  const auto getFunctionList = exported<CK_C_GetFunctionList>("C_GetFunctionList");
  ASSERT_NE(getFunctionList, nullptr);
  CK_FUNCTION_LIST_PTR old = nullptr;
  EXPECT_EQ(getFunctionList(nullptr), CKR_ARGUMENTS_BAD);
  ASSERT_EQ(getFunctionList(&old), CKR_OK);
  EXPECT_EQ(old->version.major, 2);
  EXPECT_EQ(old->version.minor, 40);
  CK_INFO info;
  EXPECT_EQ(old->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
}

// The file that the function lies in, for every function of the list.
std::set<std::string> homes(const CK_FUNCTION_LIST_3_0& list) {
  std::set<std::string> files;
  Dl_info found{};
#define FN(name, ...)                                                                              \
  files.insert(dladdr(reinterpret_cast<const void*>(list.C_##name), &found) != 0 ? found.dli_fname \
                                                                                 : "C_" #name);  // NOLINT
#include "cryptoki/functions.def"
#undef FN
  return files;
}

TEST_P(Exports, ListTheirOwnFunctionsWhateverElseIsLoaded) {
  // A copy, since another test may have loaded the module; a process of its own, since what is loaded stays.
  const SoftHsmStore store(0);
  const std::string copy = (store.folder() / "module.so").string();
  std::filesystem::copy_file(GetParam().path, copy);
  const pid_t child = fork();
  if (child == 0) {
    const bool global = dlopen(kSoftHsmModule, RTLD_NOW | RTLD_GLOBAL) != nullptr;
    const auto* list = loadModule(copy);
    _exit(global && list != nullptr && homes(*list) == std::set<std::string>{copy} ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(Modules, Exports,
                         testing::Values(Module{"Group", kGroupModule, CKF_INTERFACE_FORK_SAFE, {"CA_GetHAState"}},
                                         Module{"Failing", kFailingModule, 0, {}}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace p11ha::tests
